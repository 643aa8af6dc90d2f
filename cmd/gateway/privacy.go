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
	var rules *privacy.Rules
	err := withHashKey(cfg, func(key []byte) (err error) {
		rules, err = privacy.New(cfg.PrivacyDrop, cfg.PrivacyHash, key)
		return err
	})
	if err != nil {
		return nil, usageError{err}
	}
	return rules, nil
}

// withHashKey calls use with the key, nil where there is none.
func withHashKey(cfg config.Config, use func(key []byte) error) error {
	return withKeys("PRIVACY_HASH_KEY", cfg.PrivacyHashKey, func(keys [][]byte) error {
		if len(keys) == 0 {
			return use(nil)
		}
		return use(keys[0])
	})
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
