package awareid

import (
	"cmp"
	"crypto/x509"
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/sony/gobreaker/v2"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

// Defaults of [Options].
const (
	DefaultEventDataPath  = "/webhook/event" // the reference names none
	DefaultTimeout        = 15 * time.Second
	DefaultAttempts       = 4
	DefaultMaxAnswerBytes = 32 << 20
	DefaultBatchSize      = 100 // the reference states no bound
)

const (
	// circuitFailures in a row open the circuit, for circuitPause. Then one
	// exchange is let through, and decides.
	circuitFailures = 10
	circuitPause    = 30 * time.Second

	maxSecretChars = 8 << 10 // of a credential, a token and a webhook's secret
	maxNameChars   = 1024    // of what stands in a path
)

// Options say which platform is called, as whom, and with how much patience.
type Options struct {
	BaseURL      string // https://host[:port][/prefix]; plain http to loopback only
	Customer     string // in the token's path: /auth/realms/{Customer}-consumers/…
	ClientID     string
	ClientSecret Secret
	APIKey       Secret

	EventDataPath string         // "": DefaultEventDataPath
	RootCAs       *x509.CertPool // vouch for the platform; nil: the system's

	Timeout        time.Duration // of one exchange, to the answer's end; 0: DefaultTimeout
	Attempts       int           // exchanges that a call may make of one kind; 0: DefaultAttempts
	MaxAnswerBytes int64         // read of one answer; 0: DefaultMaxAnswerBytes
	BatchSize      int           // numbers in one request for event data; 0: DefaultBatchSize

	Metrics prometheus.Registerer // nil: none
}

// Client calls the platform. It keeps connections and the token between calls.
// It is safe for concurrent use.
type Client struct {
	base          string
	eventDataPath string
	credentials   atomic.Pointer[credentials]
	timeout       time.Duration
	attempts      int
	batchSize     int
	maxPages      int

	http      *http.Client
	transport *http.Transport
	sale      clientcredentials.Config // of tokens, less the client's secret
	tokens    *tokens
	circuit   *gobreaker.CircuitBreaker[struct{}]
	metrics   *metrics

	updatesByPatch atomic.Bool // PUT was answered 405, PATCH was not
	numbersAsText  atomic.Bool // numbers were answered 400, strings were not
}

// New returns a client of the platform. It connects to nothing. It returns an
// error, which shows no value, where an option is missing or cannot be used, or
// where HTTPS_PROXY cannot be read.
//
// It panics if o.Metrics holds a client's metrics already.
func New(o Options) (*Client, error) {
	o = o.withDefaults()
	if err := o.validate(); err != nil {
		return nil, err
	}
	c := &Client{
		base:          strings.TrimRight(o.BaseURL, "/"),
		eventDataPath: o.EventDataPath,
		timeout:       o.Timeout,
		attempts:      o.Attempts,
		batchSize:     o.BatchSize,
		maxPages:      maxPages,
		metrics:       newMetrics(o.Metrics),
	}
	c.http, c.transport = newHTTPClient(o.RootCAs, o.MaxAnswerBytes)
	c.credentials.Store(&credentials{clientSecret: o.ClientSecret, apiKey: o.APIKey})
	c.sale = clientcredentials.Config{
		ClientID:  o.ClientID,
		TokenURL:  c.base + "/auth/realms/" + url.PathEscape(o.Customer+"-consumers") + "/protocol/openid-connect/token",
		Scopes:    []string{"openid"},
		AuthStyle: oauth2.AuthStyleInParams,
	}
	c.tokens = &tokens{buy: c.buyToken}
	c.circuit = gobreaker.NewCircuitBreaker[struct{}](gobreaker.Settings{
		Timeout:       circuitPause,
		ReadyToTrip:   func(n gobreaker.Counts) bool { return n.ConsecutiveFailures >= circuitFailures },
		OnStateChange: c.metrics.circuitChanged,
		IsSuccessful:  func(err error) bool { return !errors.Is(err, ErrUnavailable) },
		IsExcluded:    wasCancelled,
	})
	return c, nil
}

// Close closes the connections that are idle. The client can still be used.
func (c *Client) Close() { c.transport.CloseIdleConnections() }

func (o Options) withDefaults() Options {
	o.EventDataPath = cmp.Or(o.EventDataPath, DefaultEventDataPath)
	o.Timeout = cmp.Or(o.Timeout, DefaultTimeout)
	o.Attempts = cmp.Or(o.Attempts, DefaultAttempts)
	o.MaxAnswerBytes = cmp.Or(o.MaxAnswerBytes, DefaultMaxAnswerBytes)
	o.BatchSize = cmp.Or(o.BatchSize, DefaultBatchSize)
	return o
}

func (o Options) validate() error {
	base, err := url.Parse(o.BaseURL)
	if err != nil || base.Host == "" || base.Opaque != "" || base.User != nil || strings.ContainsAny(o.BaseURL, "?#") {
		return errors.New("base URL: want https://host, with or without a port and a path")
	}
	switch {
	case base.Scheme != "https" && !(base.Scheme == "http" && isLoopback(base.Hostname())):
		return errors.New("base URL: want https; plain http is for a loopback address only")
	case !visible(o.Customer, maxNameChars):
		return errors.New("customer: missing or not visible ASCII")
	case !visible(o.ClientID, maxNameChars):
		return errors.New("client id: missing or not visible ASCII")
	case !strings.HasPrefix(o.EventDataPath, "/") || !visible(o.EventDataPath, maxNameChars) || strings.ContainsAny(o.EventDataPath, "?#%"):
		return errors.New("event data path: want a path that starts with a slash")
	case min(o.Timeout, time.Duration(o.Attempts), time.Duration(o.MaxAnswerBytes), time.Duration(o.BatchSize)) < 0:
		return errors.New("a negative time-out, number of attempts, answer size or batch size")
	}
	if err := (credentials{clientSecret: o.ClientSecret, apiKey: o.APIKey}).validate(); err != nil {
		return err
	}
	if _, err := http.ProxyFromEnvironment(&http.Request{URL: base}); err != nil {
		return errors.New("HTTPS_PROXY: cannot be read as a URL")
	}
	return nil
}

func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.Unmap().IsLoopback()
}

func wasCancelled(err error) bool {
	e, ok := errors.AsType[*unanswered](err)
	return ok && e.cancelled()
}
