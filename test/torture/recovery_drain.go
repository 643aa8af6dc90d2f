package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// pulse counts answers as they come.
type pulse struct {
	mu    sync.Mutex
	codes map[int]int
	first time.Time // 200 that was no duplicate
	began time.Time
}

func (p *pulse) beat(a answer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if a.code == http.StatusOK && a.word == "accepted" && p.first.IsZero() {
		p.first = time.Now()
	}
	if p.codes != nil {
		p.codes[a.code]++
	}
}

func (p *pulse) reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.codes, p.first, p.began = map[int]int{}, time.Time{}, time.Now()
}

func (p *pulse) since() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.first
}

func (p *pulse) accepted() error {
	if p.since().IsZero() {
		return errors.New("no event was accepted yet")
	}
	return nil
}

// pace is what came since the last reset, a second.
type pace struct{ stored, spooled float64 }

func (p pace) all() float64 { return p.stored + p.spooled }

func (p pace) String() string {
	return fmt.Sprintf("%.0f events/s (%.0f with 200, %.0f with 202)", p.all(), p.stored, p.spooled)
}

func (p *pulse) pace() pace {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := time.Since(p.began).Seconds()
	return pace{float64(p.codes[http.StatusOK]) / s, float64(p.codes[http.StatusAccepted]) / s}
}

// Of the drain.
const (
	steadyFor   = 10 * time.Second
	nearlyEmpty = 100 // entries: what comes behind earlier ones of its operation
)

// timeDrain lets a backlog grow under traffic and measures how it goes down
// under the same.
func (r *recovery) timeDrain(ctx context.Context, a absence) error {
	stop := r.traffic(ctx, int(float64(r.events)/r.length.Seconds()), maxLength)
	defer stop()
	time.Sleep(breath)
	r.pulse.reset()
	time.Sleep(steadyFor)
	before := r.pulse.pace()

	r.pulse.reset()
	if err := a.begin(); err != nil {
		return err
	}
	if err := r.awaitSpooled(ctx, func(n int) bool { return n >= r.backlog }); err != nil {
		return err
	}
	away := r.pulse.pace()
	if _, err := r.end(ctx, a); err != nil {
		return err
	}

	r.pulse.reset()
	entries, drained, err := r.gauges()
	if err != nil {
		return err
	}
	began := time.Now()
	if err := r.awaitSpooled(ctx, func(n int) bool { return n <= nearlyEmpty }); err != nil {
		return err
	}
	during, took := r.pulse.pace(), time.Since(began)
	_, after, err := r.gauges()
	if err != nil {
		return err
	}
	stop()
	rate := (after - drained) / took.Seconds()
	r.result("drain after: "+a.name, "%.0f entries at the return, nearly empty after %v, %.0f drained/s, which is %.0f %% of the live rate before",
		entries, took.Round(100*time.Millisecond), rate, 100*rate/before.all())
	r.result("live before: "+a.name, "%v", before)
	r.result("live meanwhile: "+a.name, "%v", away)
	r.result("live during the drain: "+a.name, "%v", during)
	return await(patience, r.calm)
}

// awaitSpooled waits for a number of entries in all spools.
func (r *recovery) awaitSpooled(ctx context.Context, enough func(entries int) bool) error {
	const longest = 10 * time.Minute
	return await(longest, func() error {
		if ctx.Err() != nil {
			return fmt.Errorf("%w: %w", errHopeless, ctx.Err())
		}
		n, err := r.cluster.spooled()
		if err == nil && !enough(n) {
			err = fmt.Errorf("%d entries are spooled", n)
		}
		return err
	})
}

// gauges are those of all gateways together.
func (r *recovery) gauges() (entries, drained float64, err error) {
	for _, g := range r.cluster.gateways {
		e, err1 := g.metric("gateway_spool_entries")
		d, err2 := g.metric("gateway_spool_drained_total")
		err = errors.Join(err, err1, err2)
		entries, drained = entries+e, drained+d
	}
	return entries, drained, err
}

// probe returns the moment at which the first record of an independent producer
// was acknowledged by all in-sync replicas. Each partition is tried by itself.
func probe(ctx context.Context, addrs []string, patience time.Duration) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	acknowledged := make(chan time.Time, brokerCount)
	for partition := range int32(brokerCount) {
		go func() {
			if at, err := probePartition(ctx, addrs, partition); err == nil {
				acknowledged <- at
			}
		}()
	}
	select {
	case at := <-acknowledged:
		return at, nil
	case <-ctx.Done():
		return time.Time{}, fmt.Errorf("no broker acknowledges a record: %w", ctx.Err())
	}
}

const probeTopic = "torture.probe"

func probePartition(ctx context.Context, addrs []string, partition int32) (time.Time, error) {
	const soon = 20 * time.Millisecond
	client, err := kgo.NewClient(kgo.SeedBrokers(addrs...), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.RequiredAcks(kgo.AllISRAcks()), kgo.DisableIdempotentWrite(), kgo.MetadataMinAge(soon), kgo.DialTimeout(time.Second),
		kgo.RetryBackoffFn(func(int) time.Duration { return soon }), kgo.ProduceRequestTimeout(time.Second))
	if err != nil {
		return time.Time{}, err
	}
	defer client.Close()
	record := &kgo.Record{Topic: probeTopic, Partition: partition, Value: []byte("probe")}
	err = client.ProduceSync(ctx, record).FirstErr()
	return time.Now(), err
}

// makeProbeTopic gives the probe one partition for each broker.
func (k *realKafka) makeProbeTopic(ctx context.Context) error {
	return k.ask(func(admin *kadm.Client) error {
		answer, err := admin.CreateTopic(ctx, brokerCount, brokerCount, nil, probeTopic)
		if errors.Is(answer.Err, kerr.TopicAlreadyExists) {
			return nil
		}
		return errors.Join(err, answer.Err)
	})
}
