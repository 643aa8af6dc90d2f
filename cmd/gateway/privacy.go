package main

import (
	"awareid-gateway/internal/config"
	"awareid-gateway/internal/privacy"
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
