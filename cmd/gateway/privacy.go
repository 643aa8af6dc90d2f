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
// compared for want of what is dropped, a sentence each. A member is looked for in data
// and at the top: one that is dropped in one of them may still be in the other.
func concealJoin(o *reconcile.Options, rules *privacy.Rules) (blind []string) {
	if slices.Contains(places(rules, o.JoinField), privacy.Hashed) {
		o.Hash = rules.Hash
	}
	if name := dropped(rules, o.JoinField); name != "" {
		blind = append(blind, fmt.Sprintf("reconciliation cannot join enrollments with events by %s, which the privacy rules drop", name))
	}
	if rules.Of("operationToken") == privacy.Dropped {
		blind = append(blind, "reconciliation cannot find operations without an end: the privacy rules drop their tokens")
	} else if name := dropped(rules, reconcile.SessionToken); name != "" {
		blind = append(blind, fmt.Sprintf("reconciliation cannot ask the platform about B2C operations by %s, which the privacy rules drop", name))
	}
	return blind
}

// places are what becomes of a member in data and at the top.
func places(rules *privacy.Rules, name string) []privacy.Treatment {
	return []privacy.Treatment{rules.Of("data", name), rules.Of(name)}
}

// dropped names a member by where it is dropped, "" for nowhere.
func dropped(rules *privacy.Rules, name string) string {
	p := places(rules, name)
	switch inData, atTop := p[0] == privacy.Dropped, p[1] == privacy.Dropped; {
	case inData && atTop:
		return name
	case inData:
		return name + " in data"
	case atTop:
		return name + " outside data"
	default:
		return ""
	}
}
