// Package server is the gateway's HTTP side. The public listener takes
// AwareID's callbacks; the admin listener shows how the gateway fares.
//
// What the public listener does with a request, in this order: connection caps
// at accept, framing, address, path and method, headers, body, a place at work, auth header,
// signature, quota, decryption, parsing, freshness, dispatch, answer. Limits
// come before work, which strangers do on half of the processors, and nothing that
// is not authentic is stored, logged with content, or counted under a label that
// its sender chose. A 2xx is sent only when the event is durable.
package server

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fasthttp"
	"golang.org/x/time/rate"

	"awareid-gateway/internal/decrypt"
	"awareid-gateway/internal/dispatch"
	"awareid-gateway/internal/verify"
)

// Path is where the one webhook posts; each of several posts below it.
const Path = "/webhooks/awareid"

// Covers says what proves that a request is authentic.
type Covers int

// The proofs.
const (
	CoversBody      Covers = iota // a MAC over the body as received
	CoversPlaintext               // a MAC over what an authenticated cipher opened
	CoversNothing                 // no MAC: the auth header and an authenticated cipher
)

// Webhook is one webhook that is registered on the platform.
type Webhook struct {
	Name    string          // path segment; "" for the one webhook
	ID      string          // the platform's id
	Secrets []verify.Secret // at the start; see Server.SetSecrets
	verify.Form
	SignatureHeader string // "auto": any
	AuthHeaderKey   string
	AuthHeaderValue string // several: one a line; see Server.SetAuthHeaderValue
	Covers          Covers
	Opener          *decrypt.Opener
}

// Limits of the public listener.
type Limits struct {
	MaxBodyBytes             int
	BodyBudgetBytes          int64         // of all bodies in memory together
	MaxHeaderBytes           int           // of request line and headers together
	MaxHeaders               int           // header lines
	MaxRequests              int           // at work at once, from the end of the body to the answer
	ReadTimeout              time.Duration // for a request as a whole; also for a peer to take an answer
	IdleTimeout              time.Duration
	RequestTimeout           time.Duration // from the end of the body to the answer
	MaxConnections           int
	MaxConnectionsPerAddress int  // 0: no cap
	RequestsPerAddress       int  // a second, ahead of the signature; 0: no limit
	RequestsPerWebhook       int  // a second, of authentic requests; 0: no limit
	AcceptGzip               bool // as Content-Encoding; wants CoversBody of every webhook
	AllowedCIDRs             []netip.Prefix
	TrustedProxies           []netip.Prefix
	MaxAge                   time.Duration // events created longer ago cannot be proven new
}

// Options of a Server.
type Options struct {
	Webhooks   []Webhook
	Limits     Limits
	TLS        *TLS // nil: plain HTTP
	Dispatcher *dispatch.Dispatcher
	Audit      Audit
	Log        *slog.Logger
	Metrics    prometheus.Registerer
	Now        func() time.Time // nil: time.Now
}

// Server is the public listener.
type Server struct {
	opts      Options
	door      door
	hooks     map[string]*hook
	addresses addresses
	rates     *rates
	bodies    budget
	spares    sync.Pool // of refused payloads, whose small bodies the next are read into
	atWork    budget    // requests
	held      budget    // those of them that wait for a new secret
	metrics   *metrics
	audit     *audit
	large     chan struct{} // holds one for each body that is judged and takes more than a turn
	listener  *cappedListener
	warnProxy sync.Once
}

// hook is a Webhook at work.
type hook struct {
	Webhook
	keys    atomic.Pointer[keys] // in force; those of Webhook are where it began
	waiting waiting
	quota   *rate.Limiter // nil: none
	met     sync.Map      // ids of secrets under which a callback came
}

// New returns a server that does not listen yet. Its errors name what is wrong
// with a webhook, never a secret.
func New(opts Options) (*Server, error) {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	l := opts.Limits
	s := &Server{
		opts:      opts,
		hooks:     make(map[string]*hook, len(opts.Webhooks)),
		audit:     newAudit(opts.Audit, opts.Log),
		addresses: addresses{allowed: l.AllowedCIDRs, trusted: l.TrustedProxies},
		bodies:    budget{limit: l.BodyBudgetBytes},
		spares:    sync.Pool{New: func() any { return new(payload) }},
		atWork:    budget{limit: int64(l.MaxRequests)},
		large:     make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2)),
		held:      budget{limit: l.BodyBudgetBytes / heldShare},
	}
	gate, err := newGate()
	if err != nil {
		return nil, fmt.Errorf("gate: %w", err)
	}
	s.listener = newCappedListener(l, s.addresses, gate)
	s.listener.refused = s.refuseConnection
	s.listener.proxySeen = s.warnOfProxy
	s.listener.tls, s.listener.failed = opts.TLS, s.failHandshake
	s.metrics = newMetrics(opts.Metrics,
		func() float64 { return float64(s.listener.connections()) },
		func() float64 { return float64(s.bodies.used.Load()) },
		func() float64 { return float64(s.atWork.used.Load()) },
		func() float64 { return float64(s.countHeld()) })
	if s.rates, err = newRates(l.RequestsPerAddress); err != nil {
		return nil, fmt.Errorf("rate per address: %w", err)
	}
	for _, w := range opts.Webhooks {
		if s.hooks[w.Name], err = s.newHook(w); err != nil {
			return nil, fmt.Errorf("webhook %s: %w", w.ID, err)
		}
	}
	s.door.app = s.newApp()
	s.listener.serve = s.door.app.Server().ServeConn
	return s, nil
}

func (s *Server) newHook(w Webhook) (*hook, error) {
	verifier, err := verify.New(verify.Options{
		Secrets: w.Secrets, Form: w.Form, Header: w.SignatureHeader,
		AuthHeaderKey: w.AuthHeaderKey, AuthHeaderValue: w.AuthHeaderValue, Now: s.opts.Now,
		OnLearn: func(m verify.Match) {
			s.metrics.learnt(w.ID, m)
			s.opts.Log.Info("learnt how the platform signs; pin it with SIGNATURE_HEADER and SECRET_FORM",
				"webhook", w.ID, "header", m.Header, "encoding", m.Encoding, "hash", m.Hash, "form", m.Form, "secret", m.Secret)
		},
	})
	if err != nil {
		return nil, err
	}
	h := &hook{Webhook: w, waiting: newWaiting(&s.held)}
	h.keys.Store(newKeys(w.Secrets, verifier, w.Opener))
	if q := s.opts.Limits.RequestsPerWebhook; q > 0 {
		h.quota = rate.NewLimiter(rate.Limit(q), q)
	}
	return h, nil
}

func (s *Server) newApp() *fiber.App {
	app := fiber.New(fiber.Config{
		DisableStartupMessage:        true,
		ReduceMemoryUsage:            true, // no buffers for a connection that has sent nothing
		StreamRequestBody:            true, // readBody caps what it reads
		DisablePreParseMultipartForm: true,
		ReadBufferSize:               s.opts.Limits.MaxHeaderBytes,
		ReadTimeout:                  s.opts.Limits.ReadTimeout,
		IdleTimeout:                  s.opts.Limits.IdleTimeout, // that of writing: conn.Write
		ErrorHandler:                 s.refuse,
		CaseSensitive:                true,
		StrictRouting:                true,
		Network:                      fiber.NetworkTCP,
	})
	fast := app.Server()
	fast.HeaderReceived = s.preview
	fast.Handler = parting(s.judged(fast.Handler))
	fast.ErrorHandler = s.refuseUnread
	fast.ConnState = track
	fast.CloseOnShutdown = true
	fast.Logger = discardLogger{} // fasthttp's lines quote the request
	app.Use(s.guard, s.receive)   // judge has seen to path and method
	return app
}

// discardLogger drops what fasthttp would print.
type discardLogger struct{}

func (discardLogger) Printf(string, ...any) {}

var _ fasthttp.Logger = discardLogger{}

// Serve answers on a listener, which it closes, until Shutdown; after that it
// returns at once. It may be called once. From a listener of plain TCP, not of
// Multipath TCP, Shutdown parts without cutting those who connect just then.
func (s *Server) Serve(l net.Listener) error {
	s.listener.Listener = l
	return s.door.serve(s.listener)
}

// Shutdown stops accepting, answers the requests that are under way and those
// that the senders send before they can know of the stop, closes each
// connection behind its answer or when none has come for a second, and returns
// when all are closed or the context ends. Who wants to connect meanwhile is not
// answered, or refused.
func (s *Server) Shutdown(ctx context.Context) error {
	defer s.audit.flush()
	if served := s.door.close(); served != nil {
		s.listener.part(ctx)
		select {
		case <-served:
			s.listener.empty(ctx)
		case <-ctx.Done():
		}
	}
	if err := s.door.stop(ctx); err != nil {
		return fmt.Errorf("stop the public listener: %w", err)
	}
	return nil
}

// failHandshake notes a connection that never came to a request.
func (s *Server) failHandshake(how string, peer netip.Addr) {
	s.refuseConnection(errHandshake, peer)
	s.opts.Log.Debug("a TLS handshake failed", "how", how)
}

func (s *Server) warnOfProxy() {
	s.warnProxy.Do(func() {
		s.opts.Log.Warn("connections come from an address that is not of the internet, which looks like a load balancer: set TRUSTED_PROXIES to see the senders behind it; until then no limit per address holds for it")
	})
}
