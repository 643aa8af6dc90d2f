package config

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Variable names the variable of this webhook, the n-th, for one of the fields ID,
// SECRETS, AUTH_HEADER_KEY and AUTH_HEADER_VALUE.
func (w Webhook) Variable(n int, field string) string {
	return webhookVariable(w.Name != "", n, field)
}

// FormatSecrets writes a list as ParseSecrets reads it.
func FormatSecrets(secrets []WebhookSecret) Secret {
	entries := make([]string, len(secrets))
	for i, s := range secrets {
		entries[i] = s.Value.Reveal()
		if !s.NotAfter.IsZero() {
			entries[i] += "@" + s.NotAfter.UTC().Format(time.RFC3339)
		}
	}
	return Secret(strings.Join(entries, ","))
}

// CheckSecret returns why a secret that somebody else has chosen cannot be
// configured under a form of SECRET_FORM, in words that hold nothing of it.
func CheckSecret(s Secret, form string) error {
	special := func(r rune) bool { return r <= ' ' || r > '~' || r == ',' || r == '@' }
	switch {
	case form != FormRaw && !isKey(s):
		return errors.New("it is not base64 of 32 bytes")
	case len(s) < minRawSecret:
		return fmt.Errorf("it is shorter than %d characters", minRawSecret)
	case strings.ContainsFunc(s.Reveal(), special):
		return errors.New("it is not of visible ASCII characters other than the comma and @")
	}
	return nil
}

// ReadSecretsFile reads a file of secrets anew, under a form of SECRET_FORM. It
// refuses what Load refuses, in words that hold nothing of the file.
func ReadSecretsFile(path, form string) ([]WebhookSecret, error) {
	content, err := readSecretFile(path)
	if err != nil {
		return nil, err
	}
	w := Webhook{SecretsFile: path}
	if w.Secrets, err = parseSecrets(content); err != nil {
		return nil, err
	}
	bad := problems{}
	w.validateSecrets("secrets", form, bad)
	if text := bad["secrets"]; text != "" {
		return nil, errors.New(text)
	}
	return w.Secrets, nil
}
