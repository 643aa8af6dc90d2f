package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/valyala/fasthttp"
	"golang.org/x/sync/errgroup"
)

// point is one of a curve.
type point struct {
	n       int
	cost    float64 // CPU seconds for 10,000 events, of the gateway's process
	figures figures
}

// curve is what an event costs, against something that it must not depend on.
type curve struct {
	name   string // of the file
	title  string
	values []int
	// prepare returns the setting for a value, and the load beside it.
	prepare func(ctx context.Context, n int) (setting, aside, error)
	rival   rival
}

// aside is what happens beside the load: it is begun when the gateway is
// ready, and what it returns ends it.
type aside func(s *server) (end func(), err error)

// scales measures each curve at some values, in turns, and draws it.
func (l *lab) scales(ctx context.Context) error {
	if err := os.MkdirAll(l.out, 0o755); err != nil {
		return err
	}
	var refused error
	for _, c := range l.allCurves() {
		if l.curves != nil && !l.curves.MatchString(c.name) {
			continue
		}
		points, err := l.trace(ctx, c)
		if err != nil {
			fmt.Fprintf(os.Stderr, "REFUSED: %s: %v\n", c.title, err)
			refused = errRefused
			continue
		}
		l.printCurve(c, points)
		file := filepath.Join(l.out, c.name+".svg")
		if err := os.WriteFile(file, plot(c.title, points), 0o644); err != nil {
			return err
		}
	}
	return errors.Join(ctx.Err(), refused)
}

func (l *lab) trace(ctx context.Context, c curve) ([]point, error) {
	runs := make([][]figures, len(c.values))
	for round := range l.rounds {
		for i, n := range c.values {
			fmt.Fprintf(os.Stderr, "%s: %d, round %d\n", c.title, n, round+1)
			f, err := l.runAt(ctx, c, n)
			if err != nil {
				return nil, fmt.Errorf("at %d: %w", n, err)
			}
			runs[i] = append(runs[i], f)
		}
	}
	points := make([]point, len(runs))
	for i, n := range c.values {
		m := medians(runs[i])
		points[i] = point{n: n, cost: m.cpu, figures: m}
	}
	return points, nil
}

func (l *lab) runAt(ctx context.Context, c curve, n int) (f figures, err error) {
	set, beside, err := c.prepare(ctx, n)
	if err != nil {
		return f, err
	}
	callbacks, err := l.signer(set, usual.cipher).sign(l.volume(usual.size), usual.size)
	if err != nil {
		return f, err
	}
	s, err := c.rival.begin(ctx, set)
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, s.end(ctx)) }()
	if beside != nil {
		end, err := beside(s)
		if err != nil {
			return f, err
		}
		defer end()
	}
	return s.observe(ctx, c.rival, load{callbacks: callbacks, connections: usual.connections, length: l.length})
}

func (l *lab) printCurve(c curve, points []point) {
	t := table{
		title: fmt.Sprintf("%s; %v, medians of %d", c.title, usual, l.rounds),
		head:  []string{"", "CPU s/10,000", "events/s", "p50 ms", "p99 ms", "allocations", "peak MiB"},
	}
	for _, p := range points {
		f := p.figures
		t.add(thousands(p.n), fmt.Sprintf("%.2f", p.cost), fmt.Sprintf("%.0f", f.rate), millis(f.p50), millis(f.p99),
			fmt.Sprintf("%.0f", f.allocations), fmt.Sprintf("%.0f", float64(f.peak)/(1<<20)))
	}
	t.print(l.markdown)
}

// allCurves are the four of what must not matter, the first also for the store
// in a file.
func (l *lab) allCurves() []curve {
	gateways := l.gateways()
	most := gateways[len(gateways)-1] // the most real one
	ids := []curve{{
		name: "ids-file", title: "Ids remembered in the file at the start", values: []int{1000, 30_000, 1_000_000},
		prepare: l.withFile, rival: most,
	}}
	if !l.fake {
		ids = append(ids, curve{
			name: "ids-redis", title: "Ids remembered in Redis at the start", values: upTo(l.ids),
			prepare: l.withIDs, rival: most,
		})
	}
	return append(ids,
		curve{name: "connections", title: "Open connections, 64 of them busy", values: []int{64, 1000, 10_000}, prepare: l.withConnections, rival: most},
		curve{name: "webhooks", title: "Webhooks configured", values: []int{1, 50, 500}, prepare: l.withWebhooks, rival: most},
		curve{name: "partitions", title: "Partitions of the one topic", values: []int{12, 120, 1200}, prepare: l.withPartitions, rival: most},
	)
}

// upTo are the numbers of ids to look at.
func upTo(most int) []int {
	few := slices.DeleteFunc([]int{1000, 100_000}, func(n int) bool { return n >= most })
	return append(few, most)
}

// firstRecords is how many events go to a new topic for each of its partitions ahead of
// the load, so that hardly one has none: a partition's first record costs Kafka many
// times as much as those behind it.
const firstRecords = 8

func (l *lab) withPartitions(ctx context.Context, n int) (setting, aside, error) {
	callbacks, err := l.signer(setting{}, usual.cipher).sign(firstRecords*n, usual.size)
	return setting{partitions: n}, func(s *server) (func(), error) {
		return func() {}, s.warm(ctx, rival{}, callbacks, usual.connections)
	}, err
}

func (l *lab) withWebhooks(_ context.Context, n int) (set setting, _ aside, _ error) {
	for i := range n {
		set.webhooks, set.secrets = append(set.webhooks, fmt.Sprint("hook-", i)), append(set.secrets, newSecret())
	}
	return set, nil, nil
}

// withConnections keeps more connections open than the busy ones. Each has been
// used once, as those of a load balancer have.
func (l *lab) withConnections(ctx context.Context, n int) (setting, aside, error) {
	callbacks, err := l.signer(setting{}, usual.cipher).sign(n-usual.connections, usual.size)
	return setting{}, func(s *server) (func(), error) {
		conns, err := useEach(s.public, callbacks)
		if err == nil {
			err = s.rest(float64(len(callbacks)))
		}
		return func() { closeAll(conns) }, err
	}, err
}

// useEach opens a connection for each callback, and leaves it open behind the
// answer.
func useEach(addr string, callbacks []callback) ([]net.Conn, error) {
	conns := make([]net.Conn, len(callbacks))
	var group errgroup.Group
	group.SetLimit(usual.connections)
	for i, c := range callbacks {
		group.Go(func() (err error) {
			if conns[i], err = net.DialTimeout("tcp", addr, answerTimeout); err != nil {
				return err
			}
			return load{judge: wantsTaken}.exchange(conns[i], bufio.NewReader(conns[i]), new(fasthttp.Response), c)
		})
	}
	return conns, group.Wait()
}

// thousands writes a number with narrow spaces in it.
func thousands(n int) string {
	text := strconv.Itoa(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "\u202f" + text[i:]
	}
	return text
}
