package config

import (
	"fmt"
	"log/slog"
	"reflect"
)

// Summary returns every variable with its value in force, for the start log, in
// the order of Variables. A secret is "set" or "unset".
func (c Config) Summary() []slog.Attr {
	var attrs []slog.Attr
	add := func(variable string, value any) {
		attrs = append(attrs, slog.String(variable, display(value)))
	}
	for n, w := range c.Webhooks {
		numbered := w.Name != ""
		if numbered {
			add(webhookVariable(numbered, n, "NAME"), w.Name)
		}
		add(webhookVariable(numbered, n, "ID"), w.ID)
		add(webhookVariable(numbered, n, "SECRETS"), joined(w.Secrets))
		add(webhookVariable(numbered, n, "AUTH_HEADER_KEY"), w.AuthHeaderKey)
		add(webhookVariable(numbered, n, "AUTH_HEADER_VALUE"), w.AuthHeaderValue)
	}
	for _, part := range []any{c.Platform, c} {
		for field, value := range reflect.ValueOf(part).Fields() {
			if name := variableOf(field.Name); name != "-" {
				add(name, value.Interface())
			}
		}
	}
	return attrs
}

func display(value any) string {
	secret, ok := value.(Secret)
	switch {
	case !ok:
		return fmt.Sprint(value)
	case secret == "":
		return "unset"
	default:
		return "set"
	}
}

// joined stands for a list of secrets.
func joined(secrets []WebhookSecret) Secret {
	if len(secrets) == 0 {
		return ""
	}
	return secrets[0].Value
}
