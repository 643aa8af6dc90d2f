package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"awareid-gateway/internal/config"
	"awareid-gateway/internal/simulator"
)

// rateFlags are a sender's speed and mishaps.
type rateFlags struct {
	Rate    float64 `default:"5" help:"Events a second; 0: as fast as the answers come."`
	Repeat  float64 `default:"${repeat}" help:"Share of posts that are repeated, 0 to 1."`
	Tamper  float64 `default:"${tamper}" help:"Share of events before which a forged copy is posted, 0 to 1."`
	Reorder float64 `default:"0" help:"Share of events that are sent after the next one of their operation, 0 to 1."`
	Loss    float64 `default:"0" help:"Share of events that are never sent, 0 to 1."`
	Size    int     `default:"0" help:"Bytes of an event at least."`
	Seed    uint64  `default:"1" help:"Makes the same run again."`
}

func (f rateFlags) rates() simulator.Rates {
	return simulator.Rates{Loss: f.Loss, Repeat: f.Repeat, Reorder: f.Reorder, Tamper: f.Tamper}
}

type simulateCmd struct {
	Addr     string `default:"127.0.0.1:8090" help:"Address of the stand-in platform."`
	Customer string `default:"acme" help:"Customer, in the path of the token endpoint."`
	Target   string `help:"Post callbacks here at once, with AWAREID_WEBHOOK_ID and the first of AWAREID_WEBHOOK_SECRETS. Without it, webhooks are registered over HTTP."`
	Count    int    `default:"0" help:"End after this many events of a webhook; 0: at Ctrl-C."`
	JSON     bool   `name:"json" help:"Print JSON lines."`
	rateFlags
	schemeFlags
}

// Help says what is served.
func (simulateCmd) Help() string {
	return "Serves the token endpoint (client id, client secret and API key are all \"simulator\"), webhook registration and event data, and posts callbacks to every webhook that is registered. The sums are printed at the end; the exit code is 1 if a receiver without fault would have other ones."
}

// Run serves until the context ends, or Count events are at Target.
func (c *simulateCmd) Run(ctx context.Context, io streams) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s := &simulation{cmd: c, out: io.out, ctx: ctx}
	platform, err := simulator.NewPlatform(simulator.PlatformOptions{
		Customer: c.Customer, ClientID: "simulator", ClientSecret: "simulator", APIKey: "simulator",
		Scheme: c.scheme(), OnRegister: s.start,
	})
	if err != nil {
		return usageError{err}
	}
	s.platform = platform
	target, err := c.register(platform, io.environ)
	if err != nil {
		return usageError{err}
	}
	listener, err := net.Listen("tcp", c.Addr)
	if err != nil {
		return err
	}
	web := &http.Server{Handler: platform, ReadHeaderTimeout: 10 * time.Second}
	served := make(chan error, 1)
	go func() { served <- web.Serve(listener) }()
	fmt.Fprintf(io.err, "AwareID stands in at http://%s for customer %s\n", listener.Addr(), c.Customer)
	if c.Target != "" {
		s.run(target)
		cancel()
	}
	<-ctx.Done()
	stopped := stopWeb(web) // first, so that no sender is started any more
	return errors.Join(s.wait(), stopped, ignoreClosed(<-served))
}

// webStopTimeout is how long a call of the stand-in platform may still take.
const webStopTimeout = time.Second

func stopWeb(web *http.Server) error {
	ctx, cancel := context.WithTimeout(context.Background(), webStopTimeout)
	defer cancel()
	err := web.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		return web.Close()
	}
	return err
}

func ignoreClosed(err error) error {
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// register makes the webhook of Target known, where there is a Target.
func (c *simulateCmd) register(p *simulator.Platform, environ []string) (simulator.Webhook, error) {
	if c.Target == "" {
		return simulator.Webhook{}, nil
	}
	vars, err := config.Lookup(environ, "AWAREID_WEBHOOK_ID", "AWAREID_WEBHOOK_SECRETS", "AWAREID_AUTH_HEADER_KEY", "AWAREID_AUTH_HEADER_VALUE")
	if err != nil {
		return simulator.Webhook{}, err
	}
	secrets, err := config.ParseSecrets(vars["AWAREID_WEBHOOK_SECRETS"])
	if err != nil {
		return simulator.Webhook{}, fmt.Errorf("AWAREID_WEBHOOK_SECRETS: %w", err)
	}
	return p.Register(simulator.Webhook{
		ID: vars["AWAREID_WEBHOOK_ID"].Reveal(), Secret: secrets[0].Value.Reveal(), URL: c.Target,
		Events: simulator.Types(), EncryptMessageBody: c.Cipher != "none", AddSignatureHeader: !c.Unsigned,
		AuthHeaderKey: vars["AWAREID_AUTH_HEADER_KEY"].Reveal(), AuthHeaderValue: firstLine(vars["AWAREID_AUTH_HEADER_VALUE"]),
	})
}

// simulation is the senders of all webhooks that were registered.
type simulation struct {
	cmd      *simulateCmd
	platform *simulator.Platform
	ctx      context.Context
	senders  sync.WaitGroup

	mu   sync.Mutex // of what follows
	out  io.Writer
	errs []error
}

// start begins to send to a webhook.
func (s *simulation) start(w simulator.Webhook) {
	s.senders.Go(func() { s.run(w) })
}

// run sends to a webhook until Count events are through or the context ends.
func (s *simulation) run(w simulator.Webhook) {
	err := s.send(w)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.errs = append(s.errs, err)
}

func (s *simulation) send(w simulator.Webhook) error {
	generator, err := simulator.NewGenerator(simulator.GeneratorOptions{Seed: s.cmd.Seed, Types: w.Events, Size: s.cmd.Size})
	if err != nil {
		return err
	}
	sender, err := simulator.NewSender(simulator.SenderOptions{
		Platform: s.platform, WebhookID: w.ID, Generator: generator, Rates: s.cmd.rates(),
		Seed: s.cmd.Seed, PerSecond: s.cmd.Rate, Count: s.cmd.Count, OnAnswer: s.print,
	})
	if err != nil {
		return err
	}
	tally, err := sender.Run(s.ctx)
	if err != nil {
		return err
	}
	s.sum(w, tally)
	return tally.Check()
}

func (s *simulation) print(a simulator.Answer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd.JSON {
		json.NewEncoder(s.out).Encode(map[string]any{
			"id": a.EventID, "type": a.Type, "post": a.Kind, "outcome": a.Outcome, "http": a.Status, "milliseconds": a.Took.Milliseconds(),
		})
		return
	}
	fmt.Fprintln(s.out, answerLine(a))
}

func answerLine(a simulator.Answer) string {
	return fmt.Sprintf("POST  %-8s %-30s %s  ->  %d %s", a.Kind, a.Type, a.EventID, a.Status, a.Outcome)
}

func (s *simulation) sum(w simulator.Webhook, t simulator.Tally) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd.JSON {
		json.NewEncoder(s.out).Encode(map[string]any{"webhook": w.ID, "tally": t})
		return
	}
	fmt.Fprintf(s.out, "webhook %s: events %d, lost %d, sent %d = accepted %d + duplicate %d + spooled %d + quarantined %d + rejected %d + failed %d; Kafka should hold %d\n",
		w.ID, t.Events, t.Lost, t.Sent, t.Accepted, t.Duplicate, t.Spooled, t.Quarantined, t.Rejected, t.Failed, t.Expected())
}

// wait returns when all senders are done.
func (s *simulation) wait() error {
	s.senders.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	return errors.Join(s.errs...)
}
