package config_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/config"
)

// canary is in every secret of secretEnviron, in a form that each of them takes.
const canary = "Q0FOQVJZQ0FOQVJZQ0FOQVJZQ0FOQVJZQ0FOQVJZQ0E"

func secretEnviron(value string) []string {
	return []string{
		"AWAREID_WEBHOOK_ID=id", "AWAREID_WEBHOOK_SECRETS=" + value,
		"AWAREID_AUTH_HEADER_KEY=X-Auth", "AWAREID_AUTH_HEADER_VALUE=" + value,
		"ADMIN_TOKEN=" + value, "QUARANTINE_KEY=" + value, "SPOOL_KEY=" + value, "REDIS_URL=redis://u:" + value + "@r:6379",
		"KAFKA_BROKERS=a:1", "KAFKA_SASL_MECHANISM=plain", "KAFKA_SASL_USERNAME=u", "KAFKA_SASL_PASSWORD=" + value,
	}
}

// requireNoCanary looks for value as text, in hex, and as a list of its bytes.
func requireNoCanary(t *testing.T, output, value string) {
	t.Helper()
	require.NotEmpty(t, output)
	for _, form := range []string{value[:16], fmt.Sprintf("%x", value[:16]), strings.Trim(fmt.Sprint([]byte(value[:16])), "[]")} {
		require.NotContains(t, strings.ToLower(output), strings.ToLower(form))
	}
}

func TestSecretsAreNeverFormatted(t *testing.T) {
	cfg := load(t, secretEnviron(canary))
	cfg.DecryptPrivateKey = canary
	require.Equal(t, canary, cfg.AdminToken.Reveal())

	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "% x", "%#x", "%d", "%c", "%U", "%t", "%b", "%o", "%e", "%20s", "%T"} {
		for name, value := range map[string]any{"config": cfg, "pointer": &cfg, "webhooks": cfg.Webhooks, "secret": cfg.AdminToken, "list": []config.Secret{canary}, "map": map[config.Secret]config.Secret{canary: canary}} {
			t.Run(verb+" "+name, func(t *testing.T) {
				requireNoCanary(t, fmt.Sprintf(verb, value), canary)
			})
		}
	}
	t.Run("calls", func(t *testing.T) {
		require.Equal(t, "[set]", cfg.AdminToken.String())
		require.Equal(t, "[set]", cfg.AdminToken.GoString())
		require.Equal(t, "[set]", cfg.AdminToken.LogValue().String())
		require.Empty(t, config.Secret("").String())
		require.Equal(t, "<>", fmt.Sprintf("<%v>", config.Secret("")))
	})
	t.Run("json", func(t *testing.T) {
		text, err := json.Marshal(cfg)
		require.NoError(t, err)
		requireNoCanary(t, string(text), canary)
		require.Contains(t, string(text), `"AdminToken":"[set]"`)
	})
	t.Run("slog", func(t *testing.T) {
		var out bytes.Buffer
		for _, handler := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
			log := slog.New(handler)
			log.Info("start", "config", cfg, "pointer", &cfg, "token", cfg.AdminToken, "webhooks", cfg.Webhooks)
			log.LogAttrs(t.Context(), slog.LevelInfo, "summary", cfg.Summary()...)
		}
		requireNoCanary(t, out.String(), canary)
	})
}

func TestSecretsAreInNoError(t *testing.T) {
	_, warnings, err := config.Load(append(secretEnviron("\x01"+canary), "KAFKA_SASL_USERNAME=", "DECRYPT_PRIVATE_KEY="+canary, "REDIS_URL=redis//"+canary, "QUARANTINE_KEY="+canary+canary, "SPOOL_KEY="+canary+canary))
	require.Equal(t, []string{
		"ADMIN_TOKEN", "AWAREID_AUTH_HEADER_VALUE", "AWAREID_WEBHOOK_SECRETS", "DECRYPT_PRIVATE_KEY",
		"KAFKA_SASL_USERNAME", "QUARANTINE_KEY", "REDIS_URL", "SPOOL_KEY",
	}, problemLines(t, err))
	requireNoCanary(t, err.Error()+strings.Join(warnings, ""), canary)

	_, _, err = config.Load(environ("AWAREID_WEBHOOK_SECRETS=" + canary + "@" + canary))
	requireNoCanary(t, err.Error(), canary)

	t.Run("in the wrong place", func(t *testing.T) {
		_, _, err := config.Load(environ("AWAREID_WEBHOOK_ID="+canary+"=", "AWAREID_AUTH_HEADER_KEY="+canary+"=", "AWAREID_SECRET="+canary))
		requireNoCanary(t, err.Error(), canary)
	})
}

func TestSummary(t *testing.T) {
	summary := func(environ []string) (names []string, values map[string]string) {
		values = map[string]string{}
		for _, attr := range load(t, environ).Summary() {
			names = append(names, attr.Key)
			values[attr.Key] = attr.Value.String()
		}
		return names, values
	}
	var want []string
	for _, v := range config.Variables() {
		if !strings.HasPrefix(v.Name, "WEBHOOKS_0_") {
			want = append(want, v.Name)
		}
	}
	names, values := summary(environ("ADMIN_TOKEN=0123456789abcdef", "KAFKA_ROUTES=a=b"))
	require.Equal(t, want, names)
	require.Equal(t, "set", values["ADMIN_TOKEN"])
	require.Equal(t, "set", values["AWAREID_WEBHOOK_SECRETS"])
	require.Equal(t, "unset", values["QUARANTINE_KEY"])
	require.Equal(t, "unset", values["AWAREID_AUTH_HEADER_VALUE"])
	require.Equal(t, "168h0m0s", values["DEDUP_TTL"])
	require.Equal(t, "[a=b]", values["KAFKA_ROUTES"])

	_, values = summary(several())
	require.Equal(t, "shop", values["WEBHOOKS_1_NAME"])
	require.Equal(t, "set", values["WEBHOOKS_1_SECRETS"])
}
