package main

import (
	"fmt"
	"slices"

	"awareid-gateway/internal/config"
	"awareid-gateway/internal/privacy"
	"awareid-gateway/internal/reconcile"
)

// newPrivacy returns nil where nothing is to be redacted.
func newPrivacy(cfg config.Config) (*privacy.Rules, error) {
	key, err := key32("PRIVACY_HASH_KEY", cfg.PrivacyHashKey)
	if err != nil {
		return nil, err
	}
	rules, err := privacy.New(cfg.PrivacyDrop, cfg.PrivacyHash, key)
	if err != nil {
		return nil, usageError{err}
	}
	return rules, nil
}

// concealJoin has a comparison hash what events show hashed. It returns what cannot be
// compared for want of what is dropped, a sentence each.
func concealJoin(o *reconcile.Options, rules *privacy.Rules) (blind []string) {
	for _, member := range [][]string{{"data", o.JoinField}, {o.JoinField}} {
		switch rules.Of(member...) {
		case privacy.Hashed:
			o.Hash = rules.Hash
		case privacy.Dropped:
			blind = append(blind, fmt.Sprintf("reconciliation cannot join enrollments with events by %s, which the privacy rules drop", o.JoinField))
		}
	}
	if rules.Of("operationToken") == privacy.Dropped {
		blind = append(blind, "reconciliation cannot find operations without an end: the privacy rules drop their tokens")
	}
	return slices.Compact(blind)
}
