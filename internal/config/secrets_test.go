package config_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/config"
)

func TestFormatSecretsIsReadAgain(t *testing.T) {
	end := time.Date(2026, 12, 31, 1, 2, 3, 0, time.UTC)
	want := []config.WebhookSecret{{Value: keyA}, {Value: keyB, NotAfter: end}}
	text := config.FormatSecrets(want)
	require.Equal(t, keyA+","+keyB+"@2026-12-31T01:02:03Z", text.Reveal())
	got, err := config.ParseSecrets(text)
	require.NoError(t, err)
	require.Equal(t, want, got)
}

func TestReadSecretsFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secrets")
	for content, wrong := range map[string]string{
		keyA + "\n":                              "",
		keyB + "," + keyA + "@2026-12-31T00:00Z": "",
		"":                                       "is empty",
		"canary":                                 "entry 1 is not base64 of 32 bytes",
		keyA + "," + keyA:                        "entry 2 repeats a secret",
		keyA + ",":                               "entry 2 has no secret",
		keyA + "@canary":                         "no time",
	} {
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
		secrets, err := config.ReadSecretsFile(path, config.FormAuto)
		if wrong == "" {
			require.NoError(t, err)
			require.NotEmpty(t, secrets)
			continue
		}
		require.ErrorContains(t, err, wrong)
		require.NotContains(t, err.Error(), "canary")
		require.NotContains(t, err.Error(), keyA)
	}
	_, err := config.ReadSecretsFile(path+"-that-is-not-there", config.FormAuto)
	require.Error(t, err)
	require.NoError(t, os.WriteFile(path, []byte("sixteen characters"), 0o600))
	_, err = config.ReadSecretsFile(path, config.FormRaw)
	require.NoError(t, err)
}

func TestSecretsFileIsKnown(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secrets")
	require.NoError(t, os.WriteFile(path, []byte(keyA+"\n"), 0o600))
	cfg := load(t, []string{"AWAREID_WEBHOOK_ID=w", "AWAREID_WEBHOOK_SECRETS_FILE=" + path, "KAFKA_BROKERS=k:1"})
	require.Equal(t, path, cfg.Webhooks[0].SecretsFile)
	require.Equal(t, "AWAREID_WEBHOOK_SECRETS", cfg.Webhooks[0].Variable(0, "SECRETS"))

	cfg = load(t, []string{"WEBHOOKS_0_NAME=a", "WEBHOOKS_0_ID=w", "WEBHOOKS_0_SECRETS=" + keyB, "KAFKA_BROKERS=k:1",
		"WEBHOOKS_1_NAME=b", "WEBHOOKS_1_ID=x", "WEBHOOKS_1_SECRETS_FILE=" + path})
	require.Empty(t, cfg.Webhooks[0].SecretsFile)
	require.Equal(t, path, cfg.Webhooks[1].SecretsFile)
	require.Equal(t, "WEBHOOKS_1_SECRETS", cfg.Webhooks[1].Variable(1, "SECRETS"))
}

func TestCheckSecret(t *testing.T) {
	key := config.Secret(keyA)
	for name, tc := range map[string]struct {
		secret config.Secret
		form   string
		want   string // "": it is good
	}{
		"a key":                     {key, config.FormAuto, ""},
		"a key, as its bytes":       {key, config.FormBase64, ""},
		"a key, as its characters":  {key, config.FormRaw, ""},
		"words":                     {"canary-0123456789", config.FormRaw, ""},
		"words for a key":           {"canary-0123456789", config.FormAuto, "not base64"},
		"none":                      {"", config.FormAuto, "not base64"},
		"short words":               {"canary-01234567", config.FormRaw, "shorter than 16"},
		"a comma":                   {"canary,0123456789", config.FormRaw, "visible ASCII"},
		"an at sign":                {"canary@0123456789", config.FormRaw, "visible ASCII"},
		"a blank":                   {"canary 0123456789", config.FormRaw, "visible ASCII"},
		"the end of a line":         {"canary\n0123456789", config.FormRaw, "visible ASCII"},
		"a key and the end of line": {key + "\n", config.FormAuto, "not base64"},
		"letters of elsewhere":      {"canärie-0123456789", config.FormRaw, "visible ASCII"},
	} {
		t.Run(name, func(t *testing.T) {
			err := config.CheckSecret(tc.secret, tc.form)
			if tc.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, tc.want)
			require.NotContains(t, err.Error(), "can")
		})
	}
}
