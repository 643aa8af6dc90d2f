package config_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/config"
)

func TestLoadValues(t *testing.T) {
	type values []string
	tests := []struct {
		variable string
		with     string // what has to be set beside it, blank separated
		good     values
		bad      values
	}{
		{"AWAREID_WEBHOOK_ID", "", values{"a", "A_b-9", strings.Repeat("x", 64)}, values{"a b", "a/b", "ä", strings.Repeat("x", 65)}},
		{
			"AWAREID_WEBHOOK_SECRETS", "",
			values{keyA, keyB, keyC, keyA + "," + keyB, keyA + ", " + keyB + "@2026-12-31T00:00Z"},
			values{",", keyA + ",", "short", keyA[1:], "A" + keyA, keyA + "=", keyA[:8] + "\n" + keyA[8:], keyA[:8] + "\n" + keyA[9:], keyA[:42] + "V=", "+" + keyC[1:], keyA + "," + keyA, keyA + "@", keyA + "@soon", "@2026-12-31T00:00Z", keyA + "@0001-01-01T00:00Z", keyA + "@2026-12-31T00:00"},
		},
		{"AWAREID_WEBHOOK_SECRETS", "SECRET_FORM=raw", values{"sixteen-letters!", keyA}, values{"fifteen-letters", "sixteen@letters!"}},
		{"AWAREID_WEBHOOK_SECRETS", "SECRET_FORM=base64", values{keyA}, values{"sixteen-letters!"}},
		{"AWAREID_AUTH_HEADER_KEY", "AWAREID_AUTH_HEADER_VALUE=v", values{"X-Auth", "authorization"}, values{"", "X Auth", "X:Auth", "X\n"}},
		{"AWAREID_AUTH_HEADER_VALUE", "AWAREID_AUTH_HEADER_KEY=X-Auth", values{"v", "Bearer abc", "new\nold"}, values{"", " v", "v ", "a\r\nb", "a\n", "a\n\nb", "ü"}},
		{"SIGNATURE_HEADER", "", values{"auto", "X-Signature"}, values{"X Signature", "a,b"}},
		{"SECRET_FORM", "", values{"auto", "base64", "raw"}, values{"hex", "AUTO"}},
		{"SIGNATURE_REQUIRED", "", values{"true"}, values{"maybe"}},
		{"SIGNATURE_COVERS", "", values{"body", "plaintext"}, values{"both"}},
		{"DECRYPT_PRIVATE_KEY", "", values{privateKey, privateKeyPKCS1, privateKey + privateKeyPKCS1}, values{"x", privateKey + "x", privateKey + shortKey, shortKey, ecKey, strings.Replace(privateKey, "MII", "MIJ", 1)}},
		{"HTTP_ADDR", "", values{":0", ":65535", "[::]:80", "localhost:1"}, values{"8080", ":http", ":65536", "::1:80", ":-1"}},
		{"HTTP_TLS_CERT_FILE", "HTTP_TLS_KEY_FILE=k", values{"c"}, values{""}},
		{"HTTP_TLS_CERT_FILE", "HTTP_TLS_CLIENT_CA_FILE=a", nil, values{""}},
		{"HTTP_TLS_KEY_FILE", "HTTP_TLS_CERT_FILE=c", values{"k"}, values{""}},
		{"HTTP_TLS_CLIENT_CA_FILE", "HTTP_TLS_CERT_FILE=c HTTP_TLS_KEY_FILE=k", values{"", "a"}, nil},
		{"ADMIN_TLS_CERT_FILE", "ADMIN_TLS_KEY_FILE=k", values{"c"}, values{""}},
		{"ADMIN_TLS_KEY_FILE", "ADMIN_TLS_CERT_FILE=c", values{"k"}, values{""}},
		{"HTTP_MAX_BODY_BYTES", "", values{"1", "33554432"}, values{"0", "-1", "1e6", "9223372036854775808"}},
		{"HTTP_BODY_BUDGET_BYTES", "", values{"1966080", "8589934592"}, values{"1966079", "0"}},
		{"HTTP_MAX_HEADER_BYTES", "", values{"1024", "1048576"}, values{"1023", "1048577"}},
		{"HTTP_MAX_HEADERS", "", values{"1"}, values{"0"}},
		{"HTTP_MAX_REQUESTS", "", values{"1"}, values{"0"}},
		{"HTTP_ACCEPT_GZIP", "", values{"true", "false"}, values{"maybe"}},
		{"HTTP_ACCEPT_GZIP", "SIGNATURE_COVERS=plaintext", values{"false"}, values{"true"}},
		{"HTTP_ACCEPT_GZIP", "SIGNATURE_REQUIRED=false AWAREID_AUTH_HEADER_KEY=X-Auth AWAREID_AUTH_HEADER_VALUE=v", values{"false"}, values{"true"}},
		{"HTTP_READ_TIMEOUT", "", values{"1ms"}, values{"0s", "-1s", "1d", "10"}},
		{"HTTP_IDLE_TIMEOUT", "", values{"1ms"}, values{"0s"}},
		{"HTTP_REQUEST_TIMEOUT", "", values{"1ms"}, values{"0s"}},
		{"HTTP_SHUTDOWN_TIMEOUT", "", values{"1ms"}, values{"0s"}},
		{"HTTP_MAX_CONNECTIONS", "", values{"1"}, values{"0", "-1", "1.5"}},
		{"HTTP_MAX_CONNECTIONS_PER_ADDRESS", "", values{"1"}, values{"0"}},
		{"HTTP_RATE_PER_ADDRESS", "", values{"0", "100"}, values{"-1", "NaN"}},
		{"HTTP_QUOTA_PER_WEBHOOK", "", values{"0", "100"}, values{"-1"}},
		{"ALLOWED_CIDRS", "", values{"10.0.0.0/8", "::1", "10.0.0.1, fe80::/10"}, values{"10.0.0.0/33", "10.0.0", "a", "10.0.0.1,", "::ffff:10.0.0.1", "fe80::1%eth0"}},
		{"TRUSTED_PROXIES", "", values{"10.0.0.0/8"}, values{"lb"}},
		{"ADMIN_ADDR", "", values{"127.0.0.9:1", "[::1]:0", "localhost:9090"}, values{"9090", "x"}},
		{"ADMIN_TOKEN", "ADMIN_ADDR=0.0.0.0:9090", values{"0123456789abcdef"}, values{"", "0123456789abcde", "0123456789abcdé!", "0123456789abcdef "}},
		{"ADMIN_TOKEN", "", values{"", "0123456789abcdef", "0123456789abcdef\nfedcba9876543210"}, values{"0123456789abcde", "0123456789abcdef\nshort", "0123456789abcdef\n"}},
		{"ADMIN_TOKEN", "ADMIN_ADDR=[::]:9090", nil, values{""}},
		{"ADMIN_TOKEN", "ADMIN_ADDR=:9090", nil, values{""}},
		{"ADMIN_TOKEN", "ADMIN_ADDR=gateway.internal:9090", nil, values{""}},
		{"ADMIN_TOKEN", "ADMIN_ADDR=localhost.evil.example:9090", nil, values{""}},
		{"ADMIN_TOKEN", "ADMIN_ADDR=[::ffff:10.0.0.1]:9090", nil, values{""}},
		{"ADMIN_TOKEN", "ADMIN_ADDR=localhost:9090", values{""}, nil},
		{"ADMIN_TOKEN", "ADMIN_ADDR=[::ffff:127.0.0.1]:9090", values{""}, nil},
		{"ADMIN_HOSTS", "", values{"gateway.example.com,gw:9090,[::1]:9090"}, values{"http://a", "a b", "a,,b"}},
		{"PROBE_ADDR", "", values{"", ":8081"}, values{"8081"}},
		{"KAFKA_BROKERS", "", values{"a:1,b:2", "[::1]:9092"}, values{"", "a", ":9092", "a:0", "a:x", "a:1,", "::1:9092"}},
		{"KAFKA_TOPIC_PREFIX", "", values{"a.b_c-d", strings.Repeat("x", 234)}, values{"a/b", ".", "..", strings.Repeat("x", 235)}},
		{"KAFKA_ROUTES", "", values{"*=t", "a.*=t,a.b.*=t,a.b=t"}, values{"a", "=t", "a=", "a=t,a=u", "*.a=t", "a*=t", ".*=t", "a..b=t", "a=b=c", "a=..", "a=b c", "a=awareid.quarantine", strings.Repeat("x", 129) + "=t", "a=" + strings.Repeat("x", 250)}},
		{"KAFKA_PRODUCE_TIMEOUT", "", values{"1s", "14s"}, values{"0s"}},
		{"KAFKA_CREATE_TOPICS", "", values{"false"}, values{"maybe"}},
		{"KAFKA_TOPIC_PARTITIONS", "", values{"1"}, values{"0", "-1"}},
		{"KAFKA_TOPIC_REPLICATION", "", values{"-1", "1", "3"}, values{"0", "-2", "32768"}},
		{"KAFKA_CLIENT_ID", "", values{"gateway 1"}, values{"a\nb"}},
		{"KAFKA_TLS", "", values{"true", "1"}, values{"on"}},
		{"KAFKA_TLS_CA_FILE", "KAFKA_TLS=true", values{"ca.pem"}, nil},
		{"KAFKA_TLS_CA_FILE", "", nil, values{"ca.pem"}},
		{"KAFKA_TLS_CERT_FILE", "KAFKA_TLS=true KAFKA_TLS_KEY_FILE=key.pem", values{"cert.pem"}, values{""}},
		{"KAFKA_TLS_KEY_FILE", "KAFKA_TLS=true KAFKA_TLS_CERT_FILE=cert.pem", values{"key.pem"}, values{""}},
		{"KAFKA_SASL_MECHANISM", "KAFKA_SASL_USERNAME=u KAFKA_SASL_PASSWORD=p", values{"plain", "scram-sha-256", "scram-sha-512"}, values{"", "PLAIN", "gssapi"}},
		{"KAFKA_SASL_USERNAME", "KAFKA_SASL_MECHANISM=plain KAFKA_SASL_PASSWORD=p", values{"u"}, values{""}},
		{"KAFKA_SASL_PASSWORD", "KAFKA_SASL_MECHANISM=plain KAFKA_SASL_USERNAME=u", values{"p"}, values{""}},
		{
			"REDIS_URL", "",
			values{"redis://r:6379", "rediss://u:p@r:6379/1", "redis+sentinel://u:p@a:26379,b:26379/0?master_name=m", "rediss+sentinel://a/0?master_name=m", "redis+cluster://a:1,b:2", "rediss+cluster://a:1"},
			values{"redis:6379", "http://r:6379", "redis://", "redis://u:p@", "redis://:6379", "redis+x://r"},
		},
		{"STORE_FILE", "", values{"/data/gateway.db"}, nil},
		{"DEDUP_TTL", "", values{"31s"}, values{"30s", "0s"}},
		{"DEDUP_LEASE", "", values{"20001ms"}, values{"20s", "0s"}},
		{"DEDUP_ON_OUTAGE", "", values{"spool", "accept", "reject"}, values{"none"}},
		{"SPOOL_DIR", "", values{"/data/spool", "none"}, nil},
		{"SPOOL_MAX_BYTES", "", values{"1966080"}, values{"1966079", "0", "-1"}},
		{"SPOOL_KEY", "", values{keyA, keyB, keyB + ", " + keyA, keyB + "\n" + keyA}, values{"short", keyA + keyA, keyA + ",", keyA + "\n\n" + keyB, keyA + ",short"}},
		{
			"AWAREID_BASE_URL", strings.TrimPrefix(platform, "AWAREID_BASE_URL=https://a "),
			values{"https://api.example.com", "https://a:8443/prefix", "http://127.0.0.1:1", "http://[::1]:1", "http://localhost"},
			values{"", "a", "http://a", "ftp://a", "https://", "https://u:p@a", "https://a?b", "https://a#b", "https://a:x"},
		},
		{"AWAREID_CUSTOMER", platform, values{"acme-1"}, values{"", "a/b", "ü"}},
		{"AWAREID_CLIENT_ID", platform, values{"i"}, values{""}},
		{"AWAREID_CLIENT_SECRET", platform, values{"s"}, values{""}},
		{"AWAREID_API_KEY", platform, values{"k"}, values{"", "a\nb"}},
		{"AWAREID_EVENT_DATA_PATH", "", values{"/webhook/event", "/v2/x"}, values{"webhook"}},
		{"AWAREID_CA_FILE", "", values{"ca.pem"}, nil},
		{"BACKFILL_ENABLED", "", values{"true", "false"}, values{"maybe"}},
		{"BACKFILL_GRACE", "", values{"1s"}, values{"0s"}},
		{"BACKFILL_INTERVAL", "", values{"100ms"}, values{"0s"}},
		{"BACKFILL_BATCH", "", values{"1"}, values{"0"}},
		{"BACKFILL_ATTEMPTS", "", values{"1"}, values{"0"}},
		{"RECONCILE_INTERVAL", platform, values{"0s", "24h"}, values{"-1s"}},
		{"RECONCILE_WINDOW", "", values{"1h"}, values{"0s"}},
		{"RECONCILE_JOIN_FIELD", "", values{"registrationCode", "data.user-1"}, values{"a b", "ü"}},
		{"PRIVACY_DROP", "QUARANTINE_KEY=" + keyA, values{"", "$.username", "$.username, $.data.*.value,$..ssn,$['odd name']", `$['a\u002cb']`}, values{"username", "$.username,", "$", "$.id", "$.username,$..type", "$['a,b']"}},
		{"PRIVACY_DROP", "QUARANTINE_KEY=" + keyA + " PRIVACY_HASH_KEY=" + keyB, values{"$.operationToken", "$..operationToken"}, nil},
		{"PRIVACY_HASH", "QUARANTINE_KEY=" + keyA + " PRIVACY_HASH_KEY=" + keyB, values{"$.username", "$.data[0]"}, values{"$.created", "$.data[-1]"}},
		{"PRIVACY_HASH_KEY", "", values{"", keyA}, values{"short", keyA + keyA}},
		{"PRIVACY_HASH_KEY", "PRIVACY_HASH=$.username QUARANTINE_KEY=" + keyA, values{keyB}, values{""}},
		{"PRIVACY_HASH_KEY", "PRIVACY_DROP=$..operationToken QUARANTINE_KEY=" + keyA, values{keyB}, values{""}},
		{"QUARANTINE_KEY", "PRIVACY_HASH=$.username PRIVACY_HASH_KEY=" + keyB, values{keyA}, values{""}},
		{"QUARANTINE_KEY", "PRIVACY_DROP=$.username", values{keyA}, values{""}},
		{"QUARANTINE_KEY", "", values{keyA, keyB, keyB + ", " + keyA, keyB + "\n" + keyA}, values{"short", keyA + keyA, keyA + ",", keyA + "\n\n" + keyB, keyA + ",short"}},
		{"LOG_LEVEL", "", values{"debug", "INFO", "warn", "error"}, values{"loud", "info+1"}},
		{"AUDIT_LINES_PER_SECOND", "", values{"0", "100"}, values{"-1", "x"}},
		{"AUDIT_ADDRESS", "", values{"plain", "hash", "none"}, values{"full"}},
		{"LOG_FORMAT", "", values{"json", "text"}, values{"xml"}},
		{"REPLICA_ID", "", values{"pod-1.example"}, values{"a b", strings.Repeat("x", 129)}},
	}
	tested := map[string]bool{}
	for _, tt := range tests {
		tested[tt.variable] = true
		for _, value := range tt.good {
			t.Run(tt.variable+" takes "+value, func(t *testing.T) {
				cfg := load(t, environ(append(strings.Fields(tt.with), tt.variable+"="+value)...))
				require.NoError(t, cfg.Validate())
			})
		}
		for _, value := range tt.bad {
			t.Run(tt.variable+" refuses "+value, func(t *testing.T) {
				cfg, _, err := config.Load(environ(append(strings.Fields(tt.with), tt.variable+"="+value)...))
				require.Equal(t, []string{tt.variable}, problemLines(t, err))
				require.Zero(t, cfg)
			})
		}
	}
	for _, v := range config.Variables() {
		require.True(t, tested[v.Name] || strings.HasPrefix(v.Name, "WEBHOOKS_0_"), "%s has no test", v.Name)
	}
}

func TestReconcileNeedsThePlatform(t *testing.T) {
	_, _, err := config.Load(environ("RECONCILE_INTERVAL=1h"))
	require.Equal(t, []string{"AWAREID_BASE_URL"}, problemLines(t, err))
}

func TestSignatureNotRequired(t *testing.T) {
	_, _, err := config.Load(environ("SIGNATURE_REQUIRED=false"))
	require.Equal(t, []string{"AWAREID_AUTH_HEADER_KEY"}, problemLines(t, err))

	_, _, err = config.Load(several("SIGNATURE_REQUIRED=false", "WEBHOOKS_0_AUTH_HEADER_KEY=X-Auth", "WEBHOOKS_0_AUTH_HEADER_VALUE=v"))
	require.Equal(t, []string{"WEBHOOKS_1_AUTH_HEADER_KEY"}, problemLines(t, err))
}

func TestSeveralWebhooks(t *testing.T) {
	cfg := load(t, several("WEBHOOKS_1_AUTH_HEADER_KEY=X-Auth", "WEBHOOKS_1_AUTH_HEADER_VALUE=v"))
	require.Equal(t, []config.Webhook{
		{Name: "bank", ID: "id-0", Secrets: []config.WebhookSecret{{Value: keyA}}},
		{Name: "shop", ID: "id-1", Secrets: []config.WebhookSecret{{Value: keyB}}, AuthHeaderKey: "X-Auth", AuthHeaderValue: "v"},
	}, cfg.Webhooks)
	require.NoError(t, cfg.Validate())

	tests := []struct {
		name    string
		changes []string
		want    []string
	}{
		{"same name", []string{"WEBHOOKS_1_NAME=bank"}, []string{"WEBHOOKS_1_NAME"}},
		{"same id", []string{"WEBHOOKS_1_ID=id-0"}, []string{"WEBHOOKS_1_ID"}},
		{"bad name", []string{"WEBHOOKS_0_NAME=Bank"}, []string{"WEBHOOKS_0_NAME"}},
		{"no name", []string{"-WEBHOOKS_0_NAME"}, []string{"WEBHOOKS_0_NAME"}},
		{"nothing but an id", []string{"WEBHOOKS_2_ID=id-2"}, []string{"WEBHOOKS_2_NAME", "WEBHOOKS_2_SECRETS"}},
		{"bad secret", []string{"WEBHOOKS_1_SECRETS=x"}, []string{"WEBHOOKS_1_SECRETS"}},
		{"gap", []string{"WEBHOOKS_3_ID=id-3"}, []string{"WEBHOOKS_2_ID"}},
		{"gap at 0", []string{"-WEBHOOKS_0_NAME", "-WEBHOOKS_0_ID", "-WEBHOOKS_0_SECRETS"}, []string{"WEBHOOKS_0_ID"}},
		{"beside the single one", []string{"AWAREID_WEBHOOK_ID=id", "AWAREID_AUTH_HEADER_KEY=X"}, []string{"AWAREID_AUTH_HEADER_KEY", "AWAREID_WEBHOOK_ID"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, _, err := config.Load(several(tt.changes...))
			require.Equal(t, tt.want, problemLines(t, err))
		})
	}
}

func TestSecretEnds(t *testing.T) {
	end := time.Date(2026, 12, 31, 0, 0, 0, 0, time.UTC)
	tests := map[string]time.Time{
		"":                           {},
		"@2026-12-31T00:00Z":         end,
		"@2026-12-31T00:00:00Z":      end,
		" @ 2026-12-31T02:00+02:00 ": end,
		"@2026-12-30T19:00:00-05:00": end,
	}
	for suffix, want := range tests {
		cfg := load(t, environ("AWAREID_WEBHOOK_SECRETS="+keyA+","+keyB+suffix))
		require.Equal(t, []config.WebhookSecret{{Value: keyA}, {Value: keyB, NotAfter: want}}, cfg.Webhooks[0].Secrets, suffix)
	}
}

func TestValidateWithoutLoad(t *testing.T) {
	require.ErrorContains(t, config.Config{}.Validate(), "AWAREID_WEBHOOK_ID: required and not set")

	cfg := load(t, several())
	cfg.Webhooks[1].Secrets = nil
	cfg.StoreFile = ""
	require.Equal(t, []string{"STORE_FILE", "WEBHOOKS_1_SECRETS"}, problemLines(t, cfg.Validate()))
}

func FuzzSecretsList(f *testing.F) {
	for _, seed := range []string{
		"", ",", "@", keyA, keyA + "," + keyB, keyA + "@2026-12-31T00:00Z", keyA + "@2026-12-31T00:00:00.5+02:00",
		keyA + "@@", keyA + "@0001-01-01T00:00Z", " " + keyA + " @ 2026-12-31T00:00Z ,x", "a@9999-12-31T23:59-23:59",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, list string) {
		secrets, err := config.ParseSecrets(config.Secret(list))
		if err != nil {
			require.Nil(t, secrets)
			require.Regexp(t, `^entry [0-9]+( has no secret|: what follows @ is no time in RFC 3339, such as 2026-12-31T00:00Z)$`, err.Error())
			return
		}
		entries := strings.Split(list, ",")
		require.Len(t, secrets, len(entries))
		for i, secret := range secrets {
			value := secret.Value.Reveal()
			require.NotEmpty(t, value)
			require.NotContains(t, value, "@")
			require.True(t, strings.HasPrefix(strings.TrimSpace(entries[i]), value))
			require.Equal(t, strings.Contains(entries[i], "@"), !secret.NotAfter.IsZero())
		}
	})
}
