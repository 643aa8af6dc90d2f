package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// suite is one run.
type suite struct {
	options
	services *services
	gateway  *gateway
	honest   *honest
	books    *books
	results  results
}

// results are what is printed.
type results struct {
	Machine string   `json:"machine"`
	Version string   `json:"version"`
	TLS     bool     `json:"tls"`
	Rows    []row    `json:"rows"` // the first and the last are without an attack
	Skipped []string `json:"skipped,omitempty"`
	Kafka   audit    `json:"kafka"`
	Broken  []string `json:"broken,omitempty"` // by no row
}

func run(o options) (code int) {
	dir, err := os.MkdirTemp("", "gateway-abuse.")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	s, err := newSuite(o, dir)
	if err == nil {
		err = s.run(ctx)
		s.end(err)
		code = s.print()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	if code == 0 && !o.keep {
		os.RemoveAll(dir)
	} else {
		fmt.Fprintln(os.Stderr, "the log is in", dir)
	}
	return code
}

func newSuite(o options, dir string) (*suite, error) {
	services, err := newServices(o.broker)
	if err != nil {
		return nil, err
	}
	g, err := o.start(dir, services)
	if err != nil {
		services.stop()
		return nil, err
	}
	h, err := newHonest(g, o.rate)
	if err != nil {
		g.kill()
		services.stop()
		return nil, err
	}
	return &suite{options: o, services: services, gateway: g, honest: h, books: newBooks(),
		results: results{Machine: machine(), Version: g.version(), TLS: o.tls}}, nil
}

// start starts the gateway, with TLS where that was asked for.
func (o options) start(dir string, services *services) (*gateway, error) {
	places := fmt.Sprintf("HTTP_MAX_CONNECTIONS=%d", o.connections)
	if !o.tls {
		return startGateway(o.gateway, dir, services, places)
	}
	c, err := newCertificate(dir)
	if err != nil {
		return nil, err
	}
	g, err := startGateway(o.gateway, dir, services, append(c.variables, places)...)
	if err != nil {
		return nil, err
	}
	g.certificate = c.pem
	return g, nil
}

// warmUp is sent before anything counts: connections, what is made on first use, and a
// broker that has not compiled itself yet.
const warmUp = 15 * time.Second

// run measures the quiet, each attack, and the quiet behind them. Its error says
// that there are no results, not that they are bad.
func (s *suite) run(ctx context.Context) error {
	if _, err := s.honest.run(ctx, warmUp); err != nil {
		return err
	}
	chosen := s.chosen()
	if err := s.attack(ctx, attack{name: "none"}, s.quiet); err != nil {
		return err
	}
	for _, a := range chosen {
		if err := s.attack(ctx, a, max(s.length, a.lasts)); err != nil {
			return err
		}
	}
	if err := s.attack(ctx, attack{name: "none, after all"}, s.quiet); err != nil {
		return err
	}
	return s.checkKafka(ctx)
}

// chosen are the attacks that happen. One that cannot is a broken bound, unless
// it was waived.
func (s *suite) chosen() (all []attack) {
	for _, a := range attacks() {
		switch {
		case s.only != nil && !s.only.MatchString(a.name):
		case !a.missing():
			a.atLeast = a.atLeast.within(s.connections)
			all = append(all, a)
		default:
			s.results.Skipped = append(s.results.Skipped, a.name)
			if !s.without {
				s.results.Broken = append(s.results.Broken, a.name+": "+a.program+" is not installed; -without-slowhttptest leaves it out")
			}
		}
	}
	return all
}

// attack adds a row. The first one is quiet.
func (s *suite) attack(ctx context.Context, a attack, length time.Duration) error {
	if err := s.settle(ctx); err != nil {
		return err
	}
	r, err := s.measure(ctx, a, length)
	if err != nil {
		return err
	}
	s.results.Rows = append(s.results.Rows, r)
	r.Slowdown = slowdown(s.results.Rows[0].Honest, r.Honest)
	r.Broken = r.judge()
	s.results.Rows[len(s.results.Rows)-1] = r
	s.say(r)
	return nil
}

const (
	settlePatience = 90 * time.Second
	settled        = 300    // connections: those of the load balancer
	settledPeers   = 20_000 // of closed connections that the attackers' side of the system still knows, for 60 s
)

// settle waits until the attackers of before have left, and the system has forgotten
// most of their connections: where its table of them is full, closing one takes longer,
// and here both sides are on one system.
func (s *suite) settle(ctx context.Context) error {
	return await(settlePatience, func() error {
		if err := errors.Join(s.gateway.alive(), ctx.Err()); err != nil {
			return fmt.Errorf("%w: %w", errEnded, err)
		}
		o, err := s.gateway.observe()
		if err == nil && o.connections > settled {
			err = fmt.Errorf("%.0f connections are still open", o.connections)
		}
		if peers := closedPeers(); err == nil && peers > settledPeers {
			err = fmt.Errorf("the system still knows %d closed connections", peers)
		}
		return err
	})
}

// rampTime is given to an attack to have its connections open, before honest
// events are judged.
const rampTime = 10 * time.Second

// rampUp returns when so many connections are open, or the time is over.
func (s *suite) rampUp(ctx context.Context, a attack, before observation) {
	ctx, cancel := context.WithTimeout(ctx, rampTime)
	defer cancel()
	for a.atLeast.Connections > 0 && wait(ctx, watchStep) {
		o, err := s.gateway.observe()
		if err == nil && o.connections-before.connections >= float64(a.atLeast.Connections) {
			return
		}
	}
}

// measure sends honest events for a time, and attacks meanwhile and a little longer.
func (s *suite) measure(ctx context.Context, a attack, length time.Duration) (row, error) {
	r := row{Attack: a.name, Imitates: a.imitates, AtLeast: a.atLeast}
	before, err := s.gateway.observe()
	if err != nil {
		return r, err
	}
	pid := s.gateway.cmd.Process.Pid
	if err := resetPeak(pid); err != nil {
		return r, err
	}
	watching, stop := context.WithCancel(ctx)
	defer stop()
	watched := make(chan peaks, 1)
	go func() { watched <- s.gateway.watch(watching) }()
	attacked := make(chan error, 1)
	go func() { attacked <- s.attackInto(ctx, a, a.time(length), &r) }()
	s.rampUp(ctx, a, before)
	if r.Honest, err = s.honest.run(ctx, length); err != nil {
		return r, err
	}
	if err := <-attacked; err != nil {
		return r, err
	}
	stop()
	p := <-watched
	after, err := s.gateway.observe()
	if err := errors.Join(s.gateway.alive(), err, p.err); err != nil {
		return r, err
	}
	r.BodyBytes = int64(p.bodyBytes)
	if a.program != "" { // it does not tell how often it was answered
		r.Strength.Requests = int(after.refused - before.refused)
		r.Note = fmt.Sprintf("%d requests", r.Strength.Requests)
	}
	if r.Strength.Connections = int(p.connections - before.connections); a.atLeast.Connections > 0 {
		r.Note = fmt.Sprintf("%d connections at once", r.Strength.Connections)
	}
	r.Failures, r.Internal = int(after.failures-before.failures), int(after.internal-before.internal)
	r.Memory, err = peakMemory(pid)
	return r, err
}

// attackInto enters what came of the attack into the row, and into the books.
func (s *suite) attackInto(ctx context.Context, a attack, length time.Duration, r *row) error {
	if a.run == nil {
		return nil
	}
	result, err := a.runApart(ctx, target{Addr: s.gateway.public, Secret: s.gateway.secret, Length: length, Certificate: s.gateway.certificate})
	if err != nil {
		return err
	}
	s.books.enter(result)
	r.Attacker, r.Note, r.Strength.Requests = result.classes(), result.Note, result.requests()
	r.Surprises, r.Examples = result.Surprises, result.Unexpected
	return nil
}

const kafkaPatience = 2 * time.Minute

// checkKafka waits until no event waits in the spool, and compares.
func (s *suite) checkKafka(ctx context.Context) error {
	err := await(kafkaPatience, func() error {
		o, err := s.gateway.observe()
		if err == nil && o.spooled > 0 {
			err = fmt.Errorf("%.0f events wait in the spool", o.spooled)
		}
		return err
	})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, kafkaPatience)
	defer cancel()
	records, err := readRecords(ctx, s.services.brokers, s.gateway.topics())
	if err != nil {
		return err
	}
	maps.Copy(s.books.accepted, s.honest.accepted)
	s.results.Kafka = s.books.audit(records)
	s.results.Broken = append(s.results.Broken, s.results.Kafka.broken()...)
	return nil
}

// end stops everything. How the gateway ends is a result where there are others.
func (s *suite) end(failed error) {
	if err := s.gateway.stop(); err != nil && failed == nil {
		s.results.Broken = append(s.results.Broken, err.Error())
	}
	s.services.stop()
}
