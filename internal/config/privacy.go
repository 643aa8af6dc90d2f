package config

import (
	"errors"

	"awareid-gateway/internal/privacy"
)

func (c Config) validatePrivacy(bad problems) {
	if c.PrivacyHashKey != "" && !isKey(c.PrivacyHashKey) {
		bad.add("PRIVACY_HASH_KEY", "not base64 of 32 bytes")
	}
	paths := map[string][]string{"PRIVACY_DROP": c.PrivacyDrop, "PRIVACY_HASH": c.PrivacyHash}
	for variable, list := range paths {
		for _, path := range list {
			if err := privacy.Check(path); err != nil {
				bad.add(variable, "%v", err)
			}
		}
	}
	if !c.redacts() {
		return
	}
	_, err := privacy.New(c.PrivacyDrop, c.PrivacyHash, nil)
	if errors.Is(err, privacy.ErrNoKey) && c.PrivacyHashKey == "" {
		bad.add("PRIVACY_HASH_KEY", "required and not set: PRIVACY_HASH needs it, and so does PRIVACY_DROP where it takes away $.operationToken, whose hash then keeps the events of an operation in order")
	}
	if c.QuarantineKey == "" {
		bad.add("QUARANTINE_KEY", "required with PRIVACY_DROP and PRIVACY_HASH, and not set: a body that is no JSON cannot be redacted and must not lie in the quarantine topic for all to read")
	}
}

// redacts says that there is anything to redact.
func (c Config) redacts() bool { return len(c.PrivacyDrop)+len(c.PrivacyHash) > 0 }
