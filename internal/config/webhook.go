package config

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/caarlos0/env/v11"
)

// Webhook is one registration at AwareID.
type Webhook struct {
	Name            string // last segment of its path; "" for the single webhook
	ID              string // as the platform gave it
	Secrets         []WebhookSecret
	SecretsFile     string // where the secrets came from, if from a file; it may change
	AuthHeaderKey   string // with AuthHeaderValue; "" for none
	AuthHeaderValue Secret
}

// WebhookSecret is a signing secret and the time from which it no longer
// authenticates; zero is no end.
type WebhookSecret struct {
	Value    Secret
	NotAfter time.Time
}

// minRawSecret is how many characters a secret has at least whose bytes are the
// key.
const minRawSecret = 16

// webhookVars are the variables of one webhook, in the two ways to name them.
type webhookVars struct {
	Name            string `env:"-" numbered:"NAME,required" desc:"Last part of the webhook's path /webhooks/awareid/{name}, 1 to 64 of a-z, 0-9, _ and -"`
	ID              string `env:"AWAREID_WEBHOOK_ID,required" numbered:"ID,required" desc:"Webhook id that the registration answered, 1 to 64 letters, digits, _ and -"`
	Secrets         Secret `env:"AWAREID_WEBHOOK_SECRETS,required" numbered:"SECRETS,required" desc:"Signing secrets, comma separated, the current one first; an end may follow each, such as @2026-12-31T00:00Z; a file of them is read again every second"`
	AuthHeaderKey   string `env:"AWAREID_AUTH_HEADER_KEY" numbered:"AUTH_HEADER_KEY" desc:"Name of the header that every callback must carry (authHeaderKey of the registration)"`
	AuthHeaderValue Secret `env:"AWAREID_AUTH_HEADER_VALUE" numbered:"AUTH_HEADER_VALUE" desc:"Value of that header (authHeaderValue of the registration); of several, one a line, each is taken"`
}

// webhookVariable names the variable of a field of webhook n.
func webhookVariable(numbered bool, n int, field string) string {
	switch {
	case numbered:
		return fmt.Sprintf("%s%d_%s", numberedPrefix, n, field)
	case field == "ID" || field == "SECRETS":
		return "AWAREID_WEBHOOK_" + field
	default:
		return "AWAREID_" + field
	}
}

// readWebhooks fills c.Webhooks and reports whether they are numbered ones. It
// stops at a gap in the numbers.
func (c *Config) readWebhooks(vars map[string]string, bad problems) (numbered bool) {
	present := map[int]string{} // a variable of each number, for messages
	last := -1
	for name := range vars {
		if n, _, ok := splitNumbered(name); ok {
			present[n] = max(present[n], name)
			last = max(last, n)
		}
	}
	if last < 0 {
		c.Webhooks = []Webhook{readWebhook(vars, false, 0, bad)}
		return false
	}
	refuseSingle(vars, present[last], bad)
	for n := range last + 1 {
		if present[n] == "" {
			bad.add(webhookVariable(true, n, "ID"), "not set, although %s is; number the webhooks from 0 without a gap", present[last])
			break
		}
		c.Webhooks = append(c.Webhooks, readWebhook(vars, true, n, bad))
	}
	return true
}

// refuseSingle reports the variables of the single webhook beside a numbered one.
func refuseSingle(vars map[string]string, numbered string, bad problems) {
	for _, v := range fieldVariables[webhookVars](tagSingle, "") {
		if vars[v.Name] != "" {
			bad.add(v.Name, "set beside %s; use the one way or the other", numbered)
		}
	}
}

func readWebhook(vars map[string]string, numbered bool, n int, bad problems) Webhook {
	opts := env.Options{Environment: vars, TagName: tagSingle}
	if numbered {
		opts.TagName, opts.Prefix = tagNumbered, webhookVariable(true, n, "")
	}
	var raw webhookVars
	reportParseErrors(env.ParseWithOptions(&raw, opts), vars, bad)
	secrets, err := parseSecrets(raw.Secrets.Reveal())
	if err != nil && raw.Secrets != "" {
		bad.add(webhookVariable(numbered, n, "SECRETS"), "%v", err)
	}
	return Webhook{
		Name:            raw.Name,
		ID:              raw.ID,
		Secrets:         secrets,
		SecretsFile:     vars[webhookVariable(numbered, n, "SECRETS")+fileSuffix],
		AuthHeaderKey:   raw.AuthHeaderKey,
		AuthHeaderValue: raw.AuthHeaderValue,
	}
}

// parseSecrets reads a comma list of secrets, each with an optional @end. A
// secret can hold neither a comma nor an @, so that a mistyped end is an error
// and never part of a key. The errors count entries from 1 and hold no value.
func parseSecrets(s string) ([]WebhookSecret, error) {
	var secrets []WebhookSecret
	for entry := range strings.SplitSeq(s, ",") {
		value, end, hasEnd := strings.Cut(strings.TrimSpace(entry), "@")
		secret := WebhookSecret{Value: Secret(strings.TrimSpace(value))}
		if secret.Value == "" {
			return nil, fmt.Errorf("entry %d has no secret", len(secrets)+1)
		}
		if hasEnd {
			var err error
			if secret.NotAfter, err = parseEnd(strings.TrimSpace(end)); err != nil {
				return nil, fmt.Errorf("entry %d: %w", len(secrets)+1, err)
			}
		}
		secrets = append(secrets, secret)
	}
	return secrets, nil
}

// parseEnd reads RFC 3339 with or without seconds. The zero time is refused,
// because it stands for no end.
func parseEnd(s string) (time.Time, error) {
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04Z07:00"} {
		if end, err := time.Parse(layout, s); err == nil && !end.IsZero() {
			return end.UTC(), nil
		}
	}
	return time.Time{}, errors.New("what follows @ is no time in RFC 3339, such as 2026-12-31T00:00Z")
}

// validateWebhooks checks each webhook, and that names and ids are their own.
func (c Config) validateWebhooks(numbered bool, bad problems) {
	owners := map[string]string{}
	unique := func(kind, value, variable string) {
		if owner, taken := owners[kind+value]; taken {
			bad.add(variable, "same as %s", owner)
		}
		owners[kind+value] = variable
	}
	for n, w := range c.Webhooks {
		variable := func(field string) string { return webhookVariable(numbered, n, field) }
		w.validate(variable, numbered, c.SecretForm, bad)
		if !c.SignatureRequired && w.AuthHeaderKey == "" {
			bad.add(variable("AUTH_HEADER_KEY"), "required with SIGNATURE_REQUIRED=false, and not set")
		}
		unique("name ", w.Name, variable("NAME"))
		unique("id ", w.ID, variable("ID"))
	}
}

// validate quotes neither the id nor the header's name: they stand beside
// secrets, which are easily put in their place.
func (w Webhook) validate(variable func(string) string, numbered bool, form string, bad problems) {
	if numbered && !consistsOf(w.Name, lowercase+"_-", 64) {
		bad.add(variable("NAME"), "%s: want 1 to 64 of a-z, 0-9, _ and -", quote(w.Name))
	}
	if !consistsOf(w.ID, alphanumeric+"_-", 64) {
		bad.add(variable("ID"), "want 1 to 64 letters, digits, _ and -")
	}
	w.validateSecrets(variable("SECRETS"), form, bad)
	w.validateAuthHeader(variable("AUTH_HEADER_KEY"), variable("AUTH_HEADER_VALUE"), bad)
}

func (w Webhook) validateSecrets(variable, form string, bad problems) {
	if len(w.Secrets) == 0 {
		bad.add(variable, "required and not set")
	}
	seen := map[Secret]bool{}
	for i, secret := range w.Secrets {
		switch {
		case seen[secret.Value]:
			bad.add(variable, "entry %d repeats a secret", i+1)
		case form == FormRaw && len(secret.Value) < minRawSecret:
			bad.add(variable, "entry %d is shorter than %d characters", i+1, minRawSecret)
		case form != FormRaw && !isKey(secret.Value):
			bad.add(variable, "entry %d is not base64 of 32 bytes", i+1)
		}
		seen[secret.Value] = true
	}
}

func (w Webhook) validateAuthHeader(key, value string, bad problems) {
	if w.AuthHeaderKey == "" && w.AuthHeaderValue == "" {
		return
	}
	switch {
	case w.AuthHeaderKey == "":
		bad.add(key, "not set, although %s is", value)
	case !consistsOf(w.AuthHeaderKey, headerToken, 256):
		bad.add(key, "no name of a header")
	}
	switch {
	case w.AuthHeaderValue == "":
		bad.add(value, "not set, although %s is", key)
	default:
		w.AuthHeaderValue.eachLine(value, bad, checkHeaderValue)
	}
}
