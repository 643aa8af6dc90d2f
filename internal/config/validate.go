package config

import (
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	maxTopicLength = 249 // Kafka's bound
	maxTypeLength  = 128 // of an event type
	minTokenLength = 16
	// Every connection in use takes memory for the largest header.
	minHeaderBytes, maxHeaderBytes = 1 << 10, 1 << 20
	// senderTimeout is when AwareID is assumed to give up on a callback.
	senderTimeout = 5 * time.Second
	// longestFamily is the longest name that follows the topic prefix.
	longestFamily = len(".authentication")
)

// Validate checks every value and the rules between them, and contacts nothing.
// The error is like Load's. Load has called it; it is for a Config put together
// or changed by the program.
func (c Config) Validate() error {
	bad := problems{}
	if len(c.Webhooks) == 0 {
		bad.add("AWAREID_WEBHOOK_ID", "required and not set")
	}
	c.validate(len(c.Webhooks) > 1 || len(c.Webhooks) == 1 && c.Webhooks[0].Name != "", bad)
	return bad.err()
}

func (c Config) validate(numbered bool, bad problems) {
	c.validateWebhooks(numbered, bad)
	c.validateSignature(bad)
	c.validateHTTP(bad)
	c.validateAdmin(bad)
	c.validateKafka(bad)
	c.validateRoutes(bad)
	c.validateKafkaAccess(bad)
	c.validateDedup(bad)
	c.validateSpool(bad)
	c.Platform.validate(bad)
	c.validateRepair(bad)
	c.validatePrivacy(bad)
	c.validateRest(bad)
}

func (c Config) validateSignature(bad problems) {
	bad.oneOf("SECRET_FORM", c.SecretForm, FormAuto, FormBase64, FormRaw)
	bad.oneOf("SIGNATURE_COVERS", c.SignatureCovers, CoversBody, CoversPlaintext)
	if !consistsOf(c.SignatureHeader, headerToken, 256) {
		bad.add("SIGNATURE_HEADER", "%s is no name of a header", quote(c.SignatureHeader))
	}
	if c.DecryptPrivateKey == "" {
		return
	}
	if err := checkPrivateKeys(c.DecryptPrivateKey); err != nil {
		bad.add("DECRYPT_PRIVATE_KEY", "%v", err)
	}
}

func (c Config) validateHTTP(bad problems) {
	bad.address("HTTP_ADDR", c.HTTPAddr)
	bad.bothOrNeither("HTTP_TLS_CERT_FILE", c.HTTPTLSCertFile != "", "HTTP_TLS_KEY_FILE", c.HTTPTLSKeyFile != "")
	if c.HTTPTLSClientCAFile != "" && c.HTTPTLSCertFile == "" {
		bad.add("HTTP_TLS_CERT_FILE", "required with HTTP_TLS_CLIENT_CA_FILE, and not set")
	}
	positive(bad, "HTTP_MAX_BODY_BYTES", c.HTTPMaxBodyBytes)
	positive(bad, "HTTP_BODY_BUDGET_BYTES", c.HTTPBodyBudgetBytes)
	if c.HTTPBodyBudgetBytes/2 < c.HTTPMaxBodyBytes { // a body that grows is there twice
		bad.add("HTTP_BODY_BUDGET_BYTES", "%d is less than twice HTTP_MAX_BODY_BYTES", c.HTTPBodyBudgetBytes)
	}
	if c.HTTPAcceptGzip && (!c.SignatureRequired || c.SignatureCovers != CoversBody) {
		bad.add("HTTP_ACCEPT_GZIP", "wants SIGNATURE_REQUIRED=true and SIGNATURE_COVERS=body: nothing is unpacked that is not authentic")
	}
	if c.HTTPMaxHeaderBytes < minHeaderBytes || c.HTTPMaxHeaderBytes > maxHeaderBytes {
		bad.add("HTTP_MAX_HEADER_BYTES", "%d: want %d to %d", c.HTTPMaxHeaderBytes, minHeaderBytes, maxHeaderBytes)
	}
	positive(bad, "HTTP_MAX_HEADERS", c.HTTPMaxHeaders)
	positive(bad, "HTTP_MAX_REQUESTS", c.HTTPMaxRequests)
	positive(bad, "HTTP_READ_TIMEOUT", c.HTTPReadTimeout)
	positive(bad, "HTTP_IDLE_TIMEOUT", c.HTTPIdleTimeout)
	positive(bad, "HTTP_REQUEST_TIMEOUT", c.HTTPRequestTimeout)
	positive(bad, "HTTP_SHUTDOWN_TIMEOUT", c.HTTPShutdownTimeout)
	positive(bad, "HTTP_MAX_CONNECTIONS", c.HTTPMaxConnections)
	positive(bad, "HTTP_MAX_CONNECTIONS_PER_ADDRESS", c.HTTPMaxConnectionsPerAddress)
	bad.notNegative("HTTP_RATE_PER_ADDRESS", c.HTTPRatePerAddress)
	bad.notNegative("HTTP_QUOTA_PER_WEBHOOK", c.HTTPQuotaPerWebhook)
}

func (c Config) validateRepair(bad problems) {
	positive(bad, "BACKFILL_GRACE", c.BackfillGrace)
	positive(bad, "BACKFILL_INTERVAL", c.BackfillInterval)
	positive(bad, "BACKFILL_BATCH", c.BackfillBatch)
	positive(bad, "BACKFILL_ATTEMPTS", c.BackfillAttempts)
	positive(bad, "RECONCILE_WINDOW", c.ReconcileWindow)
	switch {
	case c.ReconcileInterval < 0:
		bad.add("RECONCILE_INTERVAL", "%v: want 0s or more", c.ReconcileInterval)
	case c.ReconcileInterval > 0 && !c.Platform.Configured():
		bad.add("AWAREID_BASE_URL", "required with RECONCILE_INTERVAL, and not set")
	}
	if !consistsOf(c.ReconcileJoinField, alphanumeric+"_-.", 128) {
		bad.add("RECONCILE_JOIN_FIELD", "%s: want 1 to 128 letters, digits, _, - and .", quote(c.ReconcileJoinField))
	}
}

func (c Config) validateAdmin(bad problems) {
	bad.address("ADMIN_ADDR", c.AdminAddr)
	bad.bothOrNeither("ADMIN_TLS_CERT_FILE", c.AdminTLSCertFile != "", "ADMIN_TLS_KEY_FILE", c.AdminTLSKeyFile != "")
	if c.ProbeAddr != "" {
		bad.address("PROBE_ADDR", c.ProbeAddr)
	}
	if c.AdminToken == "" && bad["ADMIN_ADDR"] == "" && !IsLoopback(c.AdminAddr) {
		bad.add("ADMIN_TOKEN", "required and not set, because ADMIN_ADDR is not loopback")
	}
	c.AdminToken.eachLine("ADMIN_TOKEN", bad, func(token string) error {
		if len(token) < minTokenLength {
			return fmt.Errorf("shorter than %d characters", minTokenLength)
		}
		return checkHeaderValue(token)
	})
	for _, host := range c.AdminHosts {
		if !consistsOf(host, alphanumeric+".-_:[]", 260) {
			bad.add("ADMIN_HOSTS", "%s is no host, with or without a port", quote(host))
		}
	}
}

func (c Config) validateKafka(bad problems) {
	if len(c.KafkaBrokers) == 0 {
		bad.add("KAFKA_BROKERS", "required and not set")
	}
	for _, broker := range c.KafkaBrokers {
		if host, port, err := splitAddress(broker); err != nil || host == "" || port == 0 {
			bad.add("KAFKA_BROKERS", "%s is not host:port", quote(broker))
		}
	}
	if !isTopic(c.KafkaTopicPrefix) || len(c.KafkaTopicPrefix)+longestFamily > maxTopicLength {
		bad.add("KAFKA_TOPIC_PREFIX", "%s: want 1 to %d letters, digits, ., _ and -",
			quote(c.KafkaTopicPrefix), maxTopicLength-longestFamily)
	}
	positive(bad, "KAFKA_PRODUCE_TIMEOUT", c.KafkaProduceTimeout)
	positive(bad, "KAFKA_TOPIC_PARTITIONS", c.KafkaTopicPartitions)
	if c.KafkaTopicReplication != -1 && (c.KafkaTopicReplication < 1 || c.KafkaTopicReplication > 1<<15-1) {
		bad.add("KAFKA_TOPIC_REPLICATION", "%d: want 1 to 32767, or -1 for the broker's default", c.KafkaTopicReplication)
	}
	if !isHeaderValue(c.KafkaClientID) {
		bad.add("KAFKA_CLIENT_ID", "%s: want visible ASCII characters", quote(c.KafkaClientID))
	}
}

func (c Config) validateRoutes(bad problems) {
	seen := map[string]bool{}
	for _, route := range c.KafkaRoutes {
		switch {
		case !isPattern(route.Pattern):
			bad.add("KAFKA_ROUTES", "%s is no pattern; want a type, family.* or *", quote(route.Pattern))
		case !isTopic(route.Topic):
			bad.add("KAFKA_ROUTES", "%s is no name of a topic", quote(route.Topic))
		case route.Topic == c.KafkaTopicPrefix+".quarantine":
			bad.add("KAFKA_ROUTES", "%s is kept for what is quarantined", quote(route.Topic))
		case seen[route.Pattern]:
			bad.add("KAFKA_ROUTES", "%s occurs twice", quote(route.Pattern))
		}
		seen[route.Pattern] = true
	}
}

func (c Config) validateKafkaAccess(bad problems) {
	files := map[string]string{
		"KAFKA_TLS_CA_FILE":   c.KafkaTLSCAFile,
		"KAFKA_TLS_CERT_FILE": c.KafkaTLSCertFile,
		"KAFKA_TLS_KEY_FILE":  c.KafkaTLSKeyFile,
	}
	for name, file := range files {
		if file != "" && !c.KafkaTLS {
			bad.add(name, "set, although KAFKA_TLS is not true")
		}
	}
	bad.bothOrNeither("KAFKA_TLS_CERT_FILE", c.KafkaTLSCertFile != "", "KAFKA_TLS_KEY_FILE", c.KafkaTLSKeyFile != "")

	bad.oneOf("KAFKA_SASL_MECHANISM", c.KafkaSASLMechanism, "", "plain", "scram-sha-256", "scram-sha-512")
	signIn := c.KafkaSASLMechanism != ""
	bad.bothOrNeither("KAFKA_SASL_MECHANISM", signIn, "KAFKA_SASL_USERNAME", c.KafkaSASLUsername != "")
	bad.bothOrNeither("KAFKA_SASL_MECHANISM", signIn, "KAFKA_SASL_PASSWORD", c.KafkaSASLPassword != "")
}

func (c Config) validateDedup(bad problems) {
	if c.RedisURL != "" && !isRedisURL(c.RedisURL.Reveal()) {
		bad.add("REDIS_URL", "want redis://host:port/db, or the same with %s", strings.Join(redisSchemes()[1:], ", "))
	}
	if c.RedisURL == "" && c.StoreFile == "" {
		bad.add("STORE_FILE", "required without REDIS_URL, and not set")
	}
	positive(bad, "DEDUP_TTL", c.DedupTTL)
	positive(bad, "DEDUP_LEASE", c.DedupLease)
	if c.DedupLease-c.KafkaProduceTimeout <= c.KafkaProduceTimeout { // 2 × could overflow
		bad.add("DEDUP_LEASE", "%v is not more than twice KAFKA_PRODUCE_TIMEOUT (%v)", c.DedupLease, c.KafkaProduceTimeout)
	}
	if c.DedupTTL <= c.DedupLease {
		bad.add("DEDUP_TTL", "%v is not more than DEDUP_LEASE (%v)", c.DedupTTL, c.DedupLease)
	}
	bad.oneOf("DEDUP_ON_OUTAGE", c.DedupOnOutage, OutageSpool, OutageAccept, OutageReject)
}

func (c Config) validateSpool(bad problems) {
	if c.SpoolMaxBytes < 2*c.HTTPMaxBodyBytes {
		bad.add("SPOOL_MAX_BYTES", "%d has no room for two bodies of HTTP_MAX_BODY_BYTES (%d)", c.SpoolMaxBytes, c.HTTPMaxBodyBytes)
	}
	checkKeys("SPOOL_KEY", c.SpoolKey, bad)
}

func (c Config) validateRest(bad problems) {
	checkKeys("QUARANTINE_KEY", c.QuarantineKey, bad)
	levels := []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError}
	if !slices.Contains(levels, c.LogLevel) {
		bad.add("LOG_LEVEL", "%q: want debug, info, warn or error", c.LogLevel)
	}
	bad.notNegative("AUDIT_LINES_PER_SECOND", c.AuditLinesPerSecond)
	bad.oneOf("AUDIT_ADDRESS", c.AuditAddress, AuditPlain, AuditHash, AuditNone)
	bad.oneOf("LOG_FORMAT", c.LogFormat, LogJSON, LogText)
	if !consistsOf(c.ReplicaID, alphanumeric+"._-", 128) {
		bad.add("REPLICA_ID", "%s: want 1 to 128 letters, digits, ., _ and -", quote(c.ReplicaID))
	}
}

// warnings says what is allowed but better known.
func (c Config) warnings() []string {
	var list []string
	warn := func(when bool, text string) {
		if when {
			list = append(list, text)
		}
	}
	warn(!c.SignatureRequired, "SIGNATURE_REQUIRED=false: CALLBACKS WITHOUT A SIGNATURE ARE ACCEPTED; the auth header and the encryption of the body are all that tells AwareID from others")
	unwrapped := !c.SignatureRequired || c.SignatureCovers == CoversPlaintext
	warn(unwrapped && c.DecryptPrivateKey != "", "DECRYPT_PRIVATE_KEY is not used: a body with a wrapped key needs a signature over the body as received")
	warn(c.HTTPRequestTimeout >= senderTimeout, "HTTP_REQUEST_TIMEOUT is not below the 5 seconds after which AwareID is assumed to give up")
	warn(c.HTTPShutdownTimeout < c.HTTPRequestTimeout, "HTTP_SHUTDOWN_TIMEOUT is below HTTP_REQUEST_TIMEOUT: a stop may cut requests short")
	warn(slices.ContainsFunc(c.TrustedProxies, isEverything), "TRUSTED_PROXIES holds every address: anybody can claim any address")
	warn(c.KafkaSASLMechanism == "plain" && !c.KafkaTLS, "KAFKA_SASL_MECHANISM=plain without KAFKA_TLS=true sends the password in the clear")
	warn(c.DedupOnOutage == OutageAccept, "DEDUP_ON_OUTAGE=accept: while the store is away, repeats reach Kafka")
	warn(c.SpoolDir == SpoolNone, "SPOOL_DIR=none: what cannot be delivered at once is refused, and lost if AwareID does not send it again")
	warn(c.SpoolDir != SpoolNone && c.SpoolKey == "", "SPOOL_KEY is not set: events that wait on disk are not encrypted there")
	warn(c.RedisURL == "", "REDIS_URL is not set: claims are kept in STORE_FILE, where a second replica would not see them")
	warn(c.PrivacyHashKey != "" && !c.redacts(), "PRIVACY_HASH_KEY is not used: neither PRIVACY_DROP nor PRIVACY_HASH is set")
	return list
}

func isEverything(p netip.Prefix) bool { return p.Bits() == 0 }

// IsLoopback reports whether a listener at addr is reached from this host only.
func IsLoopback(addr string) bool {
	host, _, _ := net.SplitHostPort(addr)
	return isLoopbackHost(host)
}

func isLoopbackHost(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.Unmap().IsLoopback()
}

// splitAddress takes host:port apart; the port is a number, 0 included.
func splitAddress(addr string) (host string, port uint64, err error) {
	host, digits, err := net.SplitHostPort(addr)
	if err != nil {
		return "", 0, err
	}
	port, err = strconv.ParseUint(digits, 10, 16)
	return host, port, err
}

func redisSchemes() []string {
	return []string{"redis", "rediss", "redis+sentinel", "rediss+sentinel", "redis+cluster", "rediss+cluster"}
}

// isRedisURL reports whether s has a scheme of ours and a host; the store reads
// the rest. net/url is not asked: it refuses several hosts, and quotes s.
func isRedisURL(s string) bool {
	scheme, rest, found := strings.Cut(s, "://")
	authority, _, _ := strings.Cut(rest, "/")
	hosts := authority[strings.LastIndex(authority, "@")+1:]
	return found && slices.Contains(redisSchemes(), scheme) && hosts != "" && !strings.HasPrefix(hosts, ":")
}
