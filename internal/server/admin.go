package server

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/gofiber/fiber/v2/middleware/adaptor"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/valyala/fasthttp"
)

// Check is one dependency that readiness asks for.
type Check struct {
	Name     string
	Ask      func(ctx context.Context) error
	Optional bool // events can be accepted without it
}

// AdminOptions of an Admin.
type AdminOptions struct {
	Token    string   // several: one a line; "": none is asked for, for a loopback address only
	Hosts    []string // Host header values beside loopback names and addresses
	Checks   []Check
	Gatherer prometheus.Gatherer
	API      map[string]http.Handler // by path, such as /api/backfill, which they see in full
	TLS      *TLS                    // nil: plain HTTP; the probes are always plain
	Log      *slog.Logger
}

// Admin is the listener for operators: probes, metrics and the API.
type Admin struct {
	opts     AdminOptions
	main     door
	probes   door
	tokens   atomic.Pointer[tokens]
	guesses  *rates // wrong tokens, by address
	stopping atomic.Bool

	mu     sync.Mutex
	ailing map[string]bool // checks that failed when they were asked last
}

// adminTime bounds the reading of a request and the writing of an answer.
const adminTime = 10 * time.Second

// askTimeout bounds one readiness answer.
const askTimeout = 2 * time.Second

// NewAdmin returns a listener that does not listen yet.
func NewAdmin(opts AdminOptions) *Admin {
	a := &Admin{opts: opts, main: door{app: newAdminApp()}, probes: door{app: newAdminApp()}, ailing: map[string]bool{}}
	a.tokens.Store(newTokens(opts.Token))
	a.guesses, _ = newRates(maxGuesses) // it fails for no size of its own
	a.routeProbes(a.probes.app)
	a.main.app.Use(refuseOptions, a.checkHost, a.checkToken)
	a.routeProbes(a.main.app)
	a.main.app.Get("/metrics", adaptor.HTTPHandler(promhttp.HandlerFor(opts.Gatherer, promhttp.HandlerOpts{})))
	a.routeAPI(opts.API)
	return a
}

func newAdminApp() *fiber.App {
	app := fiber.New(fiber.Config{
		DisableStartupMessage:        true,
		DisablePreParseMultipartForm: true,
		ReadTimeout:                  adminTime,
		WriteTimeout:                 adminTime,
		IdleTimeout:                  time.Minute,
		BodyLimit:                    64 << 10,
		Network:                      fiber.NetworkTCP,
		ErrorHandler:                 refuseAdmin,
	})
	serve := app.Server().Handler
	app.Server().Handler = func(ctx *fasthttp.RequestCtx) {
		serve(ctx)
		secureHeaders(&ctx.Response.Header)
	}
	app.Server().CloseOnShutdown = true
	app.Server().Logger = discardLogger{}
	return app
}

func (a *Admin) routeProbes(app *fiber.App) {
	app.Get("/livez", func(c *fiber.Ctx) error { return c.JSON(fiber.Map{"status": "ok"}) })
	app.Get("/readyz", a.ready)
}

// ready answers 200 while events can be accepted durably, else 503, and names
// each dependency. What is wrong with one is for the log: an error's words may
// name hosts.
func (a *Admin) ready(c *fiber.Ctx) error {
	ctx, cancel := context.WithTimeout(context.Background(), askTimeout)
	defer cancel()
	code, summary := fiber.StatusOK, "ok"
	checks := make(map[string]string, len(a.opts.Checks)+1)
	for _, check := range a.opts.Checks {
		checks[check.Name] = "ok"
		err := check.Ask(ctx)
		a.note(check.Name, err)
		if err == nil {
			continue
		}
		checks[check.Name] = "unavailable"
		if !check.Optional {
			code, summary = fiber.StatusServiceUnavailable, "unavailable"
		}
	}
	if a.stopping.Load() {
		code, summary = fiber.StatusServiceUnavailable, "stopping"
	}
	return c.Status(code).JSON(fiber.Map{"status": summary, "checks": checks})
}

// note logs when a check begins to fail and when it ends to.
func (a *Admin) note(name string, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch ails := err != nil; {
	case ails && !a.ailing[name]:
		a.opts.Log.Warn("not ready", "check", name, "error", err)
	case !ails && a.ailing[name]:
		a.opts.Log.Info("ready again", "check", name)
	}
	a.ailing[name] = err != nil
}

// Stopping makes readiness fail, so that a load balancer turns elsewhere.
func (a *Admin) Stopping() { a.stopping.Store(true) }

// Serve answers everything on a listener, which it closes, until Shutdown; after
// that it returns at once.
func (a *Admin) Serve(l net.Listener) error { return a.main.serve(adminListener(l, a.opts.TLS)) }

// ServeProbes answers the two probes alone, without a token, for a kubelet. It
// ends as Serve does.
func (a *Admin) ServeProbes(l net.Listener) error { return a.probes.serve(adminListener(l, nil)) }

// Shutdown ends both, when the context ends at the latest.
func (a *Admin) Shutdown(ctx context.Context) error {
	if err := a.main.stop(ctx); err != nil {
		return fmt.Errorf("stop the admin listener: %w", err)
	}
	if err := a.probes.stop(ctx); err != nil {
		return fmt.Errorf("stop the probe listener: %w", err)
	}
	return nil
}
