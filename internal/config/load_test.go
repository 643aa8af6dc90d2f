package config_test

import (
	"log/slog"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/config"
)

const (
	keyA = "dGhpcyBpcyBhbiBleGFtcGxlLCBub3QgYSBzZWNyZXQ="
	keyB = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHv8"  // unpadded
	keyC = "-_-_-_-_-_-_-_-_-_-_-_-_-_-_-_-_-_-_-_-_-_8=" // URL alphabet
)

// environ returns the least environment that loads, with changes NAME=value; a
// change of the form -NAME takes NAME away.
func environ(changes ...string) []string {
	vars := map[string]string{
		"AWAREID_WEBHOOK_ID":      "486a5c0c27db4ebbbf970deacc755a25",
		"AWAREID_WEBHOOK_SECRETS": keyA,
		"KAFKA_BROKERS":           "kafka-1:9092",
	}
	for _, change := range changes {
		name, value, _ := strings.Cut(change, "=")
		if absent, ok := strings.CutPrefix(name, "-"); ok {
			delete(vars, absent)
			continue
		}
		vars[name] = value
	}
	var list []string
	for name, value := range maps.All(vars) {
		list = append(list, name+"="+value)
	}
	return list
}

// several returns environ with two numbered webhooks in place of the single one.
func several(changes ...string) []string {
	return environ(append([]string{
		"-AWAREID_WEBHOOK_ID", "-AWAREID_WEBHOOK_SECRETS",
		"WEBHOOKS_0_NAME=bank", "WEBHOOKS_0_ID=id-0", "WEBHOOKS_0_SECRETS=" + keyA,
		"WEBHOOKS_1_NAME=shop", "WEBHOOKS_1_ID=id-1", "WEBHOOKS_1_SECRETS=" + keyB,
	}, changes...)...)
}

func load(t *testing.T, environ []string) config.Config {
	t.Helper()
	cfg, _, err := config.Load(environ)
	require.NoError(t, err)
	return cfg
}

// problemLines returns the variables that err names, one for each line.
func problemLines(t *testing.T, err error) []string {
	t.Helper()
	require.Error(t, err)
	var names []string
	for _, line := range strings.Split(err.Error(), "\n")[1:] {
		name, text, found := strings.Cut(strings.TrimSpace(line), ": ")
		require.True(t, found && text != "", "line %q", line)
		names = append(names, name)
	}
	return names
}

func TestLoadDefaults(t *testing.T) {
	cfg := load(t, environ("REPLICA_ID=replica-1"))
	require.Equal(t, config.Config{
		Webhooks: []config.Webhook{{
			ID:      "486a5c0c27db4ebbbf970deacc755a25",
			Secrets: []config.WebhookSecret{{Value: keyA}},
		}},
		SignatureHeader:              config.HeaderAuto,
		SecretForm:                   config.FormAuto,
		SignatureRequired:            true,
		SignatureCovers:              config.CoversBody,
		HTTPAddr:                     ":8080",
		HTTPMaxBodyBytes:             983040,
		HTTPBodyBudgetBytes:          64 << 20,
		HTTPMaxHeaderBytes:           8192,
		HTTPMaxHeaders:               100,
		HTTPMaxRequests:              4096,
		HTTPReadTimeout:              10 * time.Second,
		HTTPIdleTimeout:              time.Minute,
		HTTPRequestTimeout:           4 * time.Second,
		HTTPMaxConnections:           5000,
		HTTPMaxConnectionsPerAddress: 512,
		HTTPShutdownTimeout:          25 * time.Second,
		AdminAddr:                    "127.0.0.1:9090",
		KafkaBrokers:                 []string{"kafka-1:9092"},
		KafkaTopicPrefix:             "awareid",
		KafkaProduceTimeout:          10 * time.Second,
		KafkaCreateTopics:            true,
		KafkaTopicPartitions:         12,
		KafkaTopicReplication:        -1,
		KafkaClientID:                "awareid-gateway",
		StoreFile:                    "gateway.db",
		DedupTTL:                     7 * 24 * time.Hour,
		DedupLease:                   30 * time.Second,
		Platform:                     config.Platform{EventDataPath: "/webhook/event"},
		BackfillEnabled:              true, BackfillGrace: time.Minute, BackfillInterval: 5 * time.Second,
		BackfillBatch: 100, BackfillAttempts: 8, ReconcileWindow: 24 * time.Hour, ReconcileJoinField: "registrationCode",
		DedupOnOutage: "spool", SpoolDir: "spool", SpoolMaxBytes: 1 << 30,
		LogLevel:            slog.LevelInfo,
		LogFormat:           config.LogJSON,
		AuditLinesPerSecond: 10,
		AuditAddress:        config.AuditPlain,
		ReplicaID:           "replica-1",
	}, cfg)
	require.NoError(t, cfg.Validate())
}

func TestLoadLists(t *testing.T) {
	cfg := load(t, environ(
		"KAFKA_BROKERS=a:9092, [::1]:9093",
		"KAFKA_ROUTES=enrollment.completed=kyc.done, authentication.*=auth.all,a.b.*=ab,*=rest",
		"ALLOWED_CIDRS=10.1.2.3/8,192.0.2.7,2001:db8::1",
		"LOG_LEVEL=debug",
	))
	require.Equal(t, []string{"a:9092", "[::1]:9093"}, cfg.KafkaBrokers)
	require.Equal(t, []config.Route{
		{Pattern: "enrollment.completed", Topic: "kyc.done"},
		{Pattern: "authentication.*", Topic: "auth.all"},
		{Pattern: "a.b.*", Topic: "ab"},
		{Pattern: "*", Topic: "rest"},
	}, cfg.KafkaRoutes)
	require.Equal(t, []netip.Prefix{
		netip.MustParsePrefix("10.0.0.0/8"),
		netip.MustParsePrefix("192.0.2.7/32"),
		netip.MustParsePrefix("2001:db8::1/128"),
	}, cfg.AllowedCIDRs)
	require.Equal(t, slog.LevelDebug, cfg.LogLevel)
}

func TestLoadReplicaIDIsHostName(t *testing.T) {
	host, err := os.Hostname()
	require.NoError(t, err)
	require.Equal(t, host, load(t, environ()).ReplicaID)
}

func TestLoadTreatsEmptyAsNotSet(t *testing.T) {
	want := load(t, environ())
	got, warnings, err := config.Load(environ("HTTP_ADDR=", "KAFKA_ROUTES=", "ADMIN_TOKEN=", "QUARANTINE_KEY=", "WEBHOOKS_0_ID="))
	require.NoError(t, err)
	require.Equal(t, want, got)
	require.Contains(t, warnings, "ADMIN_TOKEN is set but empty and counts as not set")
	require.Contains(t, warnings, "QUARANTINE_KEY is set but empty and counts as not set")

	_, _, err = config.Load(environ("KAFKA_BROKERS=", "AWAREID_WEBHOOK_SECRETS=", "ADMIN_ADDR=:9090", "ADMIN_TOKEN="))
	require.Equal(t, []string{"ADMIN_TOKEN", "AWAREID_WEBHOOK_SECRETS", "KAFKA_BROKERS"}, problemLines(t, err))
}

func TestLoadNamesEveryBadVariableAtOnce(t *testing.T) {
	_, _, err := config.Load([]string{
		"KAFKA_BROKRES=kafka:9092",
		"HTTP_MAX_BODY_BYTES=1MB",
		"HTTP_READ_TIMEOUT=10",
		"SIGNATURE_REQUIRED=no",
		"DEDUP_LEASE=20s",
		"ADMIN_TOKEN_FILE=/nonexistent/token",
		"AWAREID_WEBHOOK_SECRETS=short",
		"LOG_LEVEL=loud",
	})
	require.EqualError(t, err, `these environment variables need attention:
  ADMIN_TOKEN: ADMIN_TOKEN_FILE: open /nonexistent/token: no such file or directory
  AWAREID_WEBHOOK_ID: required and not set (Webhook id that the registration answered, 1 to 64 letters, digits, _ and -)
  AWAREID_WEBHOOK_SECRETS: entry 1 is not base64 of 32 bytes
  DEDUP_LEASE: 20s is not more than twice KAFKA_PRODUCE_TIMEOUT (10s)
  HTTP_MAX_BODY_BYTES: "1MB": want a whole number
  HTTP_READ_TIMEOUT: "10": want a duration such as 500ms, 10s or 168h
  KAFKA_BROKERS: required and not set (Brokers to start from, host:port, comma separated)
  KAFKA_BROKRES: unknown; did you mean KAFKA_BROKERS?
  LOG_LEVEL: "loud": want debug, info, warn or error
  SIGNATURE_REQUIRED: "no": want true or false`)
}

func TestLoadSecretFiles(t *testing.T) {
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
		return path
	}
	token := "0123456789abcdef"

	t.Run("one trailing newline is dropped", func(t *testing.T) {
		for name, content := range map[string]string{"bare": token, "lf": token + "\n", "crlf": token + "\r\n"} {
			cfg := load(t, environ("ADMIN_TOKEN_FILE="+file(name, content)))
			require.Equal(t, token, cfg.AdminToken.Reveal(), name)
		}
		_, _, err := config.Load(environ("ADMIN_TOKEN_FILE=" + file("two", token+"\n\n")))
		require.Equal(t, []string{"ADMIN_TOKEN"}, problemLines(t, err))
	})
	t.Run("every secret", func(t *testing.T) {
		for _, v := range config.Variables() {
			_, _, err := config.Load(environ("-"+v.Name, v.Name+"_FILE=/nonexistent/"+v.Name))
			if v.Secret {
				require.ErrorContains(t, err, v.Name+": "+v.Name+"_FILE: open /nonexistent/"+v.Name)
			} else {
				require.ErrorContains(t, err, v.Name+"_FILE: unknown")
			}
		}
	})
	t.Run("webhooks", func(t *testing.T) {
		cfg := load(t, environ("-AWAREID_WEBHOOK_SECRETS", "AWAREID_WEBHOOK_SECRETS_FILE="+file("single", keyB+"\n")))
		require.Equal(t, config.Secret(keyB), cfg.Webhooks[0].Secrets[0].Value)

		cfg = load(t, several("-WEBHOOKS_1_SECRETS", "WEBHOOKS_1_SECRETS_FILE="+file("second", keyA)))
		require.Equal(t, config.Secret(keyA), cfg.Webhooks[1].Secrets[0].Value)
	})
	t.Run("both", func(t *testing.T) {
		_, _, err := config.Load(environ("ADMIN_TOKEN="+token, "ADMIN_TOKEN_FILE="+file("both", token)))
		require.ErrorContains(t, err, "ADMIN_TOKEN: set beside ADMIN_TOKEN_FILE")
	})
	t.Run("empty and huge", func(t *testing.T) {
		_, _, err := config.Load(environ("ADMIN_TOKEN_FILE=" + file("empty", "\n")))
		require.ErrorContains(t, err, "empty is empty")
		_, _, err = config.Load(environ("ADMIN_TOKEN_FILE=" + file("huge", strings.Repeat("x", 1<<20))))
		require.ErrorContains(t, err, "holds more than 65536 bytes")
		_, _, err = config.Load(environ("ADMIN_TOKEN_FILE=" + dir))
		require.Equal(t, []string{"ADMIN_TOKEN"}, problemLines(t, err))
	})
}

func TestLoadUnknownNames(t *testing.T) {
	tests := []struct{ name, suggestion string }{
		{"KAFKA_TOPIC_PREFX", "KAFKA_TOPIC_PREFIX"},
		{"HTTP_ADR", "HTTP_ADDR"},
		{"WEBHOOKS_0_SECRET", "WEBHOOKS_0_SECRETS"},
		{"WEBHOOKS_7_SECRET", "WEBHOOKS_7_SECRETS"},
		{"WEBHOOKS_01_NAME", "WEBHOOKS_0_NAME"},
		{"WEBHOOKS_1000_ID", "WEBHOOKS_0_ID"},
		{"WEBHOOKS_-1_ID", "WEBHOOKS_0_ID"},
		{"AWAREID_SOMETHING_ELSE", ""},
		{"LOG_LEVEL_FILE", ""},
		{"REDIS_", "REDIS_URL"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, _, err := config.Load(environ(tt.name + "="))
			want := tt.name + ": unknown; correct or remove it"
			if tt.suggestion != "" {
				want = tt.name + ": unknown; did you mean " + tt.suggestion + "?"
			}
			require.ErrorContains(t, err, want)
			require.Equal(t, []string{tt.name}, problemLines(t, err))
		})
	}
}

func TestLoadForeignNames(t *testing.T) {
	_, before, err := config.Load(environ())
	require.NoError(t, err)

	t.Run("of others pass", func(t *testing.T) {
		_, warnings, err := config.Load(environ("PATH=/bin", "HTTP_PROXY=http://p:1", "HTTPS_PROXY=http://p:1", "NO_PROXY=*", "http_proxy=p", "HTTP=1", "KAFKA=1", "0_=x"))
		require.NoError(t, err)
		require.Equal(t, before, warnings)
	})
	for _, name := range []string{
		"REDIS_PORT", "REDIS_PORT_6379_TCP", "REDIS_PORT_6379_TCP_PROTO", "REDIS_PORT_6379_TCP_PORT",
		"REDIS_PORT_6379_TCP_ADDR", "REDIS_SERVICE_HOST", "REDIS_SERVICE_PORT", "REDIS_SERVICE_PORT_TCP_REDIS",
		"KAFKA_SERVICE_HOST", "KAFKA_HEADLESS_PORT_9092_UDP", "ADMIN_PORT",
	} {
		t.Run(name+" warns", func(t *testing.T) {
			_, warnings, err := config.Load(environ(name + "=tcp://10.0.0.1:6379"))
			require.NoError(t, err)
			require.Len(t, warnings, len(before)+1)
			require.Contains(t, warnings[0], name+" is no variable")
			require.NotContains(t, strings.Join(warnings, ""), "10.0.0.1")
		})
	}
}

func TestWarnings(t *testing.T) {
	tests := []struct {
		changes []string
		want    string
	}{
		{nil, "REDIS_URL is not set"},
		{[]string{"SIGNATURE_REQUIRED=false", "AWAREID_AUTH_HEADER_KEY=X-Auth", "AWAREID_AUTH_HEADER_VALUE=v"}, "WITHOUT A SIGNATURE"},
		{[]string{"KAFKA_SASL_MECHANISM=plain", "KAFKA_SASL_USERNAME=u", "KAFKA_SASL_PASSWORD=p"}, "in the clear"},
		{[]string{"SIGNATURE_COVERS=plaintext", "DECRYPT_PRIVATE_KEY=" + privateKey}, "DECRYPT_PRIVATE_KEY is not used"},
		{[]string{"HTTP_REQUEST_TIMEOUT=5s"}, "5 seconds"},
		{[]string{"HTTP_SHUTDOWN_TIMEOUT=1s"}, "cut requests short"},
		{[]string{"TRUSTED_PROXIES=10.0.0.0/8,::/0"}, "any address"},
		{[]string{"DEDUP_ON_OUTAGE=accept"}, "repeats reach Kafka"},
		{[]string{"SPOOL_DIR=none"}, "is refused"},
		{nil, "SPOOL_KEY is not set"},
		{[]string{"PRIVACY_HASH_KEY=" + keyA}, "PRIVACY_HASH_KEY is not used"},
	}
	_, quiet, err := config.Load(environ("REDIS_URL=redis://r:6379", "SPOOL_KEY="+keyA))
	require.NoError(t, err)
	require.Empty(t, quiet)
	for _, tt := range tests {
		t.Run(tt.want, func(t *testing.T) {
			_, warnings, err := config.Load(environ(tt.changes...))
			require.NoError(t, err)
			require.Contains(t, strings.Join(warnings, "\n"), tt.want)
		})
	}
}

// platform is what AWAREID_BASE_URL wants beside it.
const platform = "AWAREID_BASE_URL=https://a AWAREID_CUSTOMER=c AWAREID_CLIENT_ID=i AWAREID_CLIENT_SECRET=s AWAREID_API_KEY=k"

func TestLoadPlatform(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(file, []byte("s\n"), 0o600))
	environ := append(strings.Fields(platform), "AWAREID_CLIENT_SECRET=", "AWAREID_CLIENT_SECRET_FILE="+file,
		"AWAREID_WEBHOOK_SECRETS_FILE=not there yet", "KAFKA_BROKERS=of no matter")
	p, _, err := config.LoadPlatform(environ)
	require.NoError(t, err)
	require.Equal(t, config.Platform{
		BaseURL: "https://a", Customer: "c", ClientID: "i", ClientSecret: "s", APIKey: "k", EventDataPath: "/webhook/event",
	}, p)
	require.True(t, p.Configured())

	_, _, err = config.LoadPlatform(nil)
	require.Equal(t, []string{"AWAREID_BASE_URL"}, problemLines(t, err))
	_, _, err = config.LoadPlatform([]string{"AWAREID_BASE_URL=https://a", "AWAREID_CUSTOMERS=c"})
	require.Equal(t, []string{"AWAREID_API_KEY", "AWAREID_CLIENT_ID", "AWAREID_CLIENT_SECRET", "AWAREID_CUSTOMER", "AWAREID_CUSTOMERS"}, problemLines(t, err))
	_, _, err = config.Load([]string{})
	require.NotContains(t, err.Error(), "AWAREID_BASE_URL", "the gateway can do without")
}
