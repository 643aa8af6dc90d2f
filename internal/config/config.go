// Package config reads the gateway's whole configuration from environment
// variables into one described struct.
//
// Load reports everything that is wrong in a single error, one line for each
// variable, so that one look is enough to put it right. No error, warning,
// summary or formatted value holds a secret: see Secret. Nothing is contacted;
// the only input besides the given environment are the files that NAME_FILE
// variables name and the host's name. Whether the files of KAFKA_TLS_* and the
// addresses are any good shows when they are used.
//
// An empty variable counts as not set, whatever its kind. Names that begin like
// ours but are unknown are refused, because a misspelt limit would otherwise be
// a limit that is silently off.
package config

import (
	"log/slog"
	"net/netip"
	"time"
)

// Values of Config.SecretForm: which bytes of a webhook secret key the MAC.
const (
	FormAuto   = "auto"   // the decoded bytes, then the secret's own characters
	FormBase64 = "base64" // the decoded bytes
	FormRaw    = "raw"    // the secret's own characters
)

// Values of Config.SignatureCovers.
const (
	CoversBody      = "body"      // the signature is over the body as received
	CoversPlaintext = "plaintext" // the signature is over the decrypted body
)

// Values of Config.LogFormat.
const (
	LogJSON = "json"
	LogText = "text"
)

// Values of Config.DedupOnOutage.
const (
	OutageSpool  = "spool"
	OutageAccept = "accept"
	OutageReject = "reject"
)

// Values of Config.AuditAddress.
const (
	AuditPlain = "plain"
	AuditHash  = "hash"
	AuditNone  = "none"
)

// SpoolNone as Config.SpoolDir switches the spool off.
const SpoolNone = "none"

// HeaderAuto as Config.SignatureHeader accepts a signature in any header.
const HeaderAuto = "auto"

// Config is the whole configuration. Each field names its variable (env), its
// default (envDefault) and its meaning with the unit (desc); Variables returns
// the same list, with the variables that Webhooks is made from.
type Config struct {
	// Webhooks holds the one webhook of AWAREID_WEBHOOK_* or the several of
	// WEBHOOKS_n_*, in their order. Load returns at least one.
	Webhooks []Webhook `env:"-"`

	Platform Platform `env:"-"`

	// Files holds, by variable, the file that each secret came from, if from one; it
	// may change.
	Files map[string]string `env:"-"`

	SignatureHeader   string `env:"SIGNATURE_HEADER" envDefault:"auto" desc:"Name of the header that carries the signature; auto accepts it in any header"`
	SecretForm        string `env:"SECRET_FORM" envDefault:"auto" desc:"Bytes of a webhook secret that key the signature: auto, base64 (decoded) or raw (its own characters)"`
	SignatureRequired bool   `env:"SIGNATURE_REQUIRED" envDefault:"true" desc:"Refuse callbacks without a signature; false needs an auth header for every webhook and accepts encrypted bodies only"`
	SignatureCovers   string `env:"SIGNATURE_COVERS" envDefault:"body" desc:"What the platform signs: body (as received) or plaintext (before it was encrypted)"`
	DecryptPrivateKey Secret `env:"DECRYPT_PRIVATE_KEY" desc:"RSA private key in PEM for bodies whose key is wrapped, 2048 bits or more; of several, one behind the other, each is tried"`

	HTTPAddr                     string         `env:"HTTP_ADDR" envDefault:":8080" desc:"Address of the public listener, host:port"`
	HTTPTLSCertFile              string         `env:"HTTP_TLS_CERT_FILE" desc:"File of the public listener's certificate and its chain (PEM), read again when it changes; empty is plain HTTP"`
	HTTPTLSKeyFile               string         `env:"HTTP_TLS_KEY_FILE" desc:"File of that certificate's private key (PEM)"`
	HTTPTLSClientCAFile          string         `env:"HTTP_TLS_CLIENT_CA_FILE" desc:"File of certificates (PEM) that vouch for senders, each of which must then show one; empty asks for none"`
	HTTPMaxBodyBytes             int64          `env:"HTTP_MAX_BODY_BYTES" envDefault:"983040" desc:"Largest body in bytes; larger ones are answered 413"`
	HTTPBodyBudgetBytes          int64          `env:"HTTP_BODY_BUDGET_BYTES" envDefault:"67108864" desc:"Memory in bytes for all bodies together, at least twice HTTP_MAX_BODY_BYTES"`
	HTTPMaxHeaderBytes           int            `env:"HTTP_MAX_HEADER_BYTES" envDefault:"8192" desc:"Largest request line and headers together in bytes; larger ones are answered 431; a connection in use takes as much memory"`
	HTTPMaxHeaders               int            `env:"HTTP_MAX_HEADERS" envDefault:"100" desc:"Header lines of a request at most; more are answered 431"`
	HTTPMaxRequests              int            `env:"HTTP_MAX_REQUESTS" envDefault:"4096" desc:"Requests at work at once, from the end of the body to the answer; more are answered 503"`
	HTTPReadTimeout              time.Duration  `env:"HTTP_READ_TIMEOUT" envDefault:"10s" desc:"Longest time to read a request, headers and body together, however it trickles; also for the sender to take an answer"`
	HTTPIdleTimeout              time.Duration  `env:"HTTP_IDLE_TIMEOUT" envDefault:"60s" desc:"Longest time that a connection may wait for its next request"`
	HTTPRequestTimeout           time.Duration  `env:"HTTP_REQUEST_TIMEOUT" envDefault:"4s" desc:"Longest time from the claim to the answer; AwareID is assumed to give up after 5 seconds"`
	HTTPMaxConnections           int            `env:"HTTP_MAX_CONNECTIONS" envDefault:"5000" desc:"Open connections at most"`
	HTTPMaxConnectionsPerAddress int            `env:"HTTP_MAX_CONNECTIONS_PER_ADDRESS" envDefault:"512" desc:"Open connections from one address (IPv6: one /64) at most"`
	HTTPRatePerAddress           int            `env:"HTTP_RATE_PER_ADDRESS" envDefault:"0" desc:"Requests a second from one address, counted ahead of the signature; 0 is no limit"`
	HTTPQuotaPerWebhook          int            `env:"HTTP_QUOTA_PER_WEBHOOK" envDefault:"0" desc:"Authentic requests a second for one webhook; 0 is no limit"`
	HTTPAcceptGzip               bool           `env:"HTTP_ACCEPT_GZIP" envDefault:"false" desc:"Take bodies with Content-Encoding: gzip, signed as they come and at most HTTP_MAX_BODY_BYTES unpacked; wants a signature over the body"`
	AllowedCIDRs                 []netip.Prefix `env:"ALLOWED_CIDRS" desc:"Networks or addresses that may call, comma separated; empty lets all"`
	TrustedProxies               []netip.Prefix `env:"TRUSTED_PROXIES" desc:"Networks or addresses whose X-Forwarded-For is believed, comma separated"`
	HTTPShutdownTimeout          time.Duration  `env:"HTTP_SHUTDOWN_TIMEOUT" envDefault:"25s" desc:"Longest time to finish the requests in flight at a stop"`

	AdminAddr        string   `env:"ADMIN_ADDR" envDefault:"127.0.0.1:9090" desc:"Address of the admin listener, host:port"`
	AdminToken       Secret   `env:"ADMIN_TOKEN" desc:"Token of the admin listener, 16 characters or more; needed when its address is not loopback; of several, one a line, each is taken"`
	AdminTLSCertFile string   `env:"ADMIN_TLS_CERT_FILE" desc:"File of the admin listener's certificate and its chain (PEM), read again when it changes; empty is plain HTTP"`
	AdminTLSKeyFile  string   `env:"ADMIN_TLS_KEY_FILE" desc:"File of that certificate's private key (PEM)"`
	AdminHosts       []string `env:"ADMIN_HOSTS" desc:"Further Host header values that the admin listener answers to, comma separated"`
	ProbeAddr        string   `env:"PROBE_ADDR" desc:"Address that serves /livez and /readyz alone and without token, host:port; empty is off"`

	KafkaBrokers          []string      `env:"KAFKA_BROKERS,required" desc:"Brokers to start from, host:port, comma separated"`
	KafkaTopicPrefix      string        `env:"KAFKA_TOPIC_PREFIX" envDefault:"awareid" desc:"First part of the topic names: {prefix}.enrollment and so on"`
	KafkaRoutes           []Route       `env:"KAFKA_ROUTES" desc:"Topics for single types or families, pattern=topic, comma separated, such as enrollment.completed=kyc.done,authentication.*=auth.all"`
	KafkaProduceTimeout   time.Duration `env:"KAFKA_PRODUCE_TIMEOUT" envDefault:"10s" desc:"Longest time in which a record may be written, resending included"`
	KafkaCreateTopics     bool          `env:"KAFKA_CREATE_TOPICS" envDefault:"true" desc:"Create missing topics at the start"`
	KafkaTopicPartitions  int           `env:"KAFKA_TOPIC_PARTITIONS" envDefault:"12" desc:"Partitions of a topic that is created"`
	KafkaTopicReplication int           `env:"KAFKA_TOPIC_REPLICATION" envDefault:"-1" desc:"Replicas of a topic that is created; -1 is the broker's default"`
	KafkaClientID         string        `env:"KAFKA_CLIENT_ID" envDefault:"awareid-gateway" desc:"Name of this client in the brokers' logs and quotas"`
	KafkaTLS              bool          `env:"KAFKA_TLS" envDefault:"false" desc:"Connect to the brokers with TLS"`
	KafkaTLSCAFile        string        `env:"KAFKA_TLS_CA_FILE" desc:"File of certificates (PEM) that vouch for the brokers; empty is the system's"`
	KafkaTLSCertFile      string        `env:"KAFKA_TLS_CERT_FILE" desc:"File of the client certificate (PEM)"`
	KafkaTLSKeyFile       string        `env:"KAFKA_TLS_KEY_FILE" desc:"File of the client certificate's private key (PEM)"`
	KafkaSASLMechanism    string        `env:"KAFKA_SASL_MECHANISM" desc:"Sign-in at the brokers: plain, scram-sha-256 or scram-sha-512; empty is none"`
	KafkaSASLUsername     string        `env:"KAFKA_SASL_USERNAME" desc:"User name at the brokers"`
	KafkaSASLPassword     Secret        `env:"KAFKA_SASL_PASSWORD" desc:"Password at the brokers"`

	RedisURL   Secret        `env:"REDIS_URL" desc:"Redis for the claims: redis://, rediss://, redis+sentinel://, rediss+sentinel://, redis+cluster:// or rediss+cluster://; empty is the embedded file store, for one replica"`
	StoreFile  string        `env:"STORE_FILE" envDefault:"gateway.db" desc:"File of the embedded store, used only when REDIS_URL is empty"`
	DedupTTL   time.Duration `env:"DEDUP_TTL" envDefault:"168h" desc:"Time for which an accepted event id is remembered; events created earlier are quarantined"`
	DedupLease time.Duration `env:"DEDUP_LEASE" envDefault:"30s" desc:"Time for which a claim belongs to its owner; more than twice KAFKA_PRODUCE_TIMEOUT"`

	DedupOnOutage string `env:"DEDUP_ON_OUTAGE" envDefault:"spool" desc:"While the store is away: spool events, accept them unchecked (repeats may pass, marked gateway-dedup: unchecked) or reject them with 503"`

	SpoolDir      string `env:"SPOOL_DIR" envDefault:"spool" desc:"Folder for events that cannot be delivered now, on a disk that outlives the process; none to answer 503 instead"`
	SpoolMaxBytes int64  `env:"SPOOL_MAX_BYTES" envDefault:"1073741824" desc:"Size in bytes up to which the spool grows; beyond it events are answered 503"`
	SpoolKey      Secret `env:"SPOOL_KEY" desc:"Key that encrypts the spool, base64 of 32 bytes; of several, by comma or one a line, the first encrypts and all open"`

	BackfillEnabled  bool          `env:"BACKFILL_ENABLED" envDefault:"true" desc:"Fetch events whose transaction number is missing, where AWAREID_BASE_URL is set"`
	BackfillGrace    time.Duration `env:"BACKFILL_GRACE" envDefault:"60s" desc:"Time that a missing number is waited for before it is fetched"`
	BackfillInterval time.Duration `env:"BACKFILL_INTERVAL" envDefault:"5s" desc:"Time between two looks for missing numbers"`
	BackfillBatch    int           `env:"BACKFILL_BATCH" envDefault:"100" desc:"Numbers in one request for event data"`
	BackfillAttempts int           `env:"BACKFILL_ATTEMPTS" envDefault:"8" desc:"Requests for a number, with a growing wait between them, until it counts as unrecoverable"`

	ReconcileInterval  time.Duration `env:"RECONCILE_INTERVAL" envDefault:"0s" desc:"Time between two comparisons of the platform's completed enrollments with the events in Kafka; 0s is off"`
	ReconcileWindow    time.Duration `env:"RECONCILE_WINDOW" envDefault:"24h" desc:"How far back a comparison looks"`
	ReconcileJoinField string        `env:"RECONCILE_JOIN_FIELD" envDefault:"registrationCode" desc:"Member that an enrollment on the platform and the data of its enrollment.completed event have in common"`

	PrivacyDrop    []string `env:"PRIVACY_DROP" desc:"Paths of what is removed from events before anything keeps them, comma separated, such as $.username,$.data.*.value; the same on every replica"`
	PrivacyHash    []string `env:"PRIVACY_HASH" desc:"Paths of what is replaced with a keyed hash, likewise; equal values have equal hashes"`
	PrivacyHashKey Secret   `env:"PRIVACY_HASH_KEY" desc:"Key of these hashes, base64 of 32 bytes; needed with PRIVACY_HASH, and where PRIVACY_DROP has $.operationToken"`

	QuarantineKey Secret `env:"QUARANTINE_KEY" desc:"Key that encrypts the bodies in the quarantine topic, base64 of 32 bytes; of several, by comma or one a line, the first encrypts and all open"`

	LogLevel            slog.Level `env:"LOG_LEVEL" envDefault:"info" desc:"Least level that is logged: debug, info, warn or error"`
	LogFormat           string     `env:"LOG_FORMAT" envDefault:"json" desc:"Form of a log line: json or text"`
	AuditLinesPerSecond int        `env:"AUDIT_LINES_PER_SECOND" envDefault:"10" desc:"Log lines a second for the refusals of one cause; what is beyond is told as a count each second; 0 logs only authentic events that could not be taken"`
	AuditAddress        string     `env:"AUDIT_ADDRESS" envDefault:"plain" desc:"Addresses in the log lines of refusals: plain, hash (under a key that each process draws for itself) or none"`
	ReplicaID           string     `env:"REPLICA_ID" desc:"Name of this replica in claims and logs; empty is the host's name"`
}

// Route sends the events whose type matches Pattern to Topic. Pattern is a full
// type (enrollment.completed), a leading part of one (enrollment.*) or *.
type Route struct{ Pattern, Topic string }

// String returns r as KAFKA_ROUTES has it.
func (r Route) String() string { return r.Pattern + "=" + r.Topic }
