package server

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/gofiber/fiber/v2/middleware/adaptor"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Check is one dependency that readiness asks for.
type Check struct {
	Name     string
	Ask      func(ctx context.Context) error
	Optional bool // events can be accepted without it
}

// AdminOptions of an Admin.
type AdminOptions struct {
	Token    string   // "": none is asked for, for a loopback address only
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
	stopping atomic.Bool

	mu     sync.Mutex
	ailing map[string]bool // checks that failed when they were asked last
}

// askTimeout bounds one readiness answer.
const askTimeout = 2 * time.Second

// NewAdmin returns a listener that does not listen yet.
func NewAdmin(opts AdminOptions) *Admin {
	a := &Admin{opts: opts, main: door{app: newAdminApp()}, probes: door{app: newAdminApp()}, ailing: map[string]bool{}}
	a.routeProbes(a.probes.app)
	a.main.app.Use(a.checkHost, a.checkToken)
	a.routeProbes(a.main.app)
	a.main.app.Get("/metrics", adaptor.HTTPHandler(promhttp.HandlerFor(opts.Gatherer, promhttp.HandlerOpts{})))
	a.routeAPI(opts.API)
	return a
}

func newAdminApp() *fiber.App {
	app := fiber.New(fiber.Config{
		DisableStartupMessage: true,
		ReadTimeout:           10 * time.Second,
		WriteTimeout:          10 * time.Second,
		IdleTimeout:           time.Minute,
		BodyLimit:             64 << 10,
		Network:               fiber.NetworkTCP,
		ErrorHandler: func(c *fiber.Ctx, err error) error {
			asProblem(err).write(c.Context())
			return nil
		},
	})
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

var (
	errHost  = &problem{status: 403, title: "Forbidden", cause: "host", detail: "the Host header names no host of the admin listener; see ADMIN_HOSTS"}
	errToken = &problem{status: 401, title: "Unauthorized", cause: "token", detail: "wants Authorization: Bearer with the ADMIN_TOKEN"}
)

// checkHost keeps a web page that had its name rebound to our address from
// reading the admin listener through a browser. The page can add headers of its
// own, so X-Forwarded-Host, which Fiber's Hostname prefers, must not count.
func (a *Admin) checkHost(c *fiber.Ctx) error {
	host := string(c.Request().Header.Host())
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.Trim(host, "[]")
	isHost := func(name string) bool { return strings.EqualFold(name, host) }
	if isHost("localhost") || slices.ContainsFunc(a.opts.Hosts, isHost) {
		return c.Next()
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return c.Next() // a name can be rebound, an address cannot
	}
	return errHost
}

func (a *Admin) checkToken(c *fiber.Ctx) error {
	if a.opts.Token == "" {
		return c.Next()
	}
	given, bearer := strings.CutPrefix(c.Get(fiber.HeaderAuthorization), "Bearer ")
	got, want := sha256.Sum256([]byte(given)), sha256.Sum256([]byte(a.opts.Token))
	if !bearer || subtle.ConstantTimeCompare(got[:], want[:]) != 1 {
		c.Set(fiber.HeaderWWWAuthenticate, "Bearer")
		return errToken
	}
	return c.Next()
}

// Serve answers everything on a listener, which it closes, until Shutdown; after
// that it returns at once.
func (a *Admin) Serve(l net.Listener) error { return a.main.serve(a.opts.TLS.listen(l)) }

// ServeProbes answers the two probes alone, without a token, for a kubelet. It
// ends as Serve does.
func (a *Admin) ServeProbes(l net.Listener) error { return a.probes.serve(l) }

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
