package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// fault does harm to the targets and undoes it. The targets are nobody else's
// meanwhile.
type fault struct {
	name    string
	targets func(c *cluster, rng *rand.Rand) []*process
	harm    func(c *cluster, targets []*process, rng *rand.Rand) error
}

// Kinds of faults, each once for each time in ten that it is drawn.
func faultKinds(emptyRedis bool) []fault {
	kinds := []fault{
		{"kill gateway", oneGateway, restart(syscall.SIGKILL, 2*time.Second)},
		{"terminate gateway", oneGateway, restart(syscall.SIGTERM, time.Second)},
		{"suspend broker", someBrokers(1), suspend(8 * time.Second)},
		{"kill broker", someBrokers(1), restart(syscall.SIGKILL, 4*time.Second)},
		{"suspend two brokers", someBrokers(2), suspend(8 * time.Second)},
		{"suspend Redis", theRedis, suspend(6 * time.Second)},
		{"restart Redis", theRedis, restart(syscall.SIGKILL, 3*time.Second)},
	}
	if emptyRedis {
		kinds = append(kinds, fault{"empty Redis", theRedis, forget})
	}
	return kinds
}

func oneGateway(c *cluster, rng *rand.Rand) []*process {
	return []*process{c.gateways[rng.IntN(gatewayCount)]}
}

func theRedis(c *cluster, _ *rand.Rand) []*process { return []*process{c.redis} }

func someBrokers(n int) func(*cluster, *rand.Rand) []*process {
	return func(c *cluster, rng *rand.Rand) []*process {
		var some []*process
		for _, i := range rng.Perm(brokerCount)[:n] {
			some = append(some, c.brokers[i])
		}
		return some
	}
}

// between is at least a tenth of the longest.
func between(longest time.Duration, rng *rand.Rand) time.Duration {
	return longest/10 + time.Duration(rng.Int64N(int64(longest-longest/10)))
}

func suspend(longest time.Duration) func(*cluster, []*process, *rand.Rand) error {
	return func(_ *cluster, targets []*process, rng *rand.Rand) error {
		for _, p := range targets {
			p.signal(syscall.SIGSTOP)
		}
		time.Sleep(between(longest, rng))
		for _, p := range targets {
			p.signal(syscall.SIGCONT)
		}
		return nil
	}
}

// stopPatience is beyond the HTTP_SHUTDOWN_TIMEOUT of a gateway.
const stopPatience = 35 * time.Second

func restart(s syscall.Signal, longest time.Duration) func(*cluster, []*process, *rand.Rand) error {
	return func(_ *cluster, targets []*process, rng *rand.Rand) error {
		pause := between(longest, rng)
		for _, p := range targets {
			if _, err := p.end(s, stopPatience); err != nil {
				return err
			}
		}
		time.Sleep(pause)
		for _, p := range targets {
			if err := p.start(); err != nil {
				return err
			}
		}
		return nil
	}
}

func forget(c *cluster, targets []*process, _ *rand.Rand) error {
	if _, err := targets[0].end(syscall.SIGKILL, stopPatience); err != nil {
		return err
	}
	if err := os.RemoveAll(filepath.Join(c.dir, "redis", "appendonlydir")); err != nil {
		return err
	}
	return targets[0].start()
}

// plan is what befalls the cluster in one round.
type plan struct {
	kinds []fault
	rng   *rand.Rand
	count map[string]int
	say   func(format string, args ...any)

	mu   sync.Mutex
	busy map[*process]bool
	errs []error
}

// run lets some faults happen within the given time, several at once, and
// returns when all are undone.
func (p *plan) run(c *cluster, within time.Duration) {
	var all sync.WaitGroup
	for range 1 + p.rng.IntN(5) {
		kind := p.kinds[p.rng.IntN(len(p.kinds))]
		start := time.Duration(p.rng.Int64N(int64(within)))
		rng := rand.New(rand.NewPCG(p.rng.Uint64(), 0))
		targets := kind.targets(c, rng)
		all.Go(func() {
			time.Sleep(start)
			if !p.take(targets) {
				return
			}
			defer p.give(targets)
			p.note(kind.name)
			began := time.Now()
			err := kind.harm(c, targets, rng)
			p.say("    %s: %s, %.1f s", kind.name, names(targets), time.Since(began).Seconds())
			if err != nil {
				p.fail(fmt.Errorf("%s: %w", kind.name, err))
			}
		})
	}
	all.Wait()
}

func names(targets []*process) string {
	var list []string
	for _, p := range targets {
		list = append(list, p.name)
	}
	return strings.Join(list, ", ")
}

func (p *plan) take(targets []*process) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, t := range targets {
		if p.busy[t] {
			return false
		}
	}
	for _, t := range targets {
		p.busy[t] = true
	}
	return true
}

func (p *plan) give(targets []*process) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, t := range targets {
		delete(p.busy, t)
	}
}

func (p *plan) note(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.count[name]++
}

func (p *plan) fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.errs = append(p.errs, err)
}
