package config_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/config"
)

func TestReplace(t *testing.T) {
	const canary = "canary-value-of-24-chars"
	single := load(t, environ("AWAREID_AUTH_HEADER_KEY=X-Auth", "AWAREID_AUTH_HEADER_VALUE=old"))
	next, err := single.Replace("AWAREID_AUTH_HEADER_VALUE", canary)
	require.NoError(t, err)
	require.EqualValues(t, canary, next.Webhooks[0].AuthHeaderValue)
	require.EqualValues(t, "old", single.Webhooks[0].AuthHeaderValue, "a copy")

	numbered := load(t, several("WEBHOOKS_1_AUTH_HEADER_KEY=X-Auth", "WEBHOOKS_1_AUTH_HEADER_VALUE=old"))
	next, err = numbered.Replace("WEBHOOKS_1_AUTH_HEADER_VALUE", canary)
	require.NoError(t, err)
	require.EqualValues(t, canary, next.Webhooks[1].AuthHeaderValue)

	for name, tc := range map[string]struct {
		variable string
		value    config.Secret
		field    func(config.Config) config.Secret
	}{
		"of the config": {"ADMIN_TOKEN", canary, func(c config.Config) config.Secret { return c.AdminToken }},
		"a list":        {"SPOOL_KEY", keyB + "\n" + keyA, func(c config.Config) config.Secret { return c.SpoolKey }},
	} {
		t.Run(name, func(t *testing.T) {
			next, err := single.Replace(tc.variable, tc.value)
			require.NoError(t, err)
			require.Equal(t, tc.value, tc.field(next))
		})
	}
	for name, tc := range map[string]struct {
		variable string
		value    config.Secret
	}{
		"empty": {"ADMIN_TOKEN", ""}, "not valid": {"ADMIN_TOKEN", canary + "\nü"}, "no key": {"QUARANTINE_KEY", canary},
		"no secret": {"HTTP_ADDR", ":1"}, "unknown": {canary[:6], "x"}, "webhook secrets": {"AWAREID_WEBHOOK_SECRETS", keyA},
		"half of a pair": {"AWAREID_API_KEY", "k"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := single.Replace(tc.variable, tc.value)
			require.Error(t, err)
			require.NotContains(t, err.Error(), canary)
		})
	}
}

func TestFilesOfSecrets(t *testing.T) {
	require.Nil(t, load(t, environ()).Files)
}
