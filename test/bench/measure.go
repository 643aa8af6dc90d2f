package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
)

// figures are what one run came to.
type figures struct {
	rate           float64 // events a second
	p50, p99, p999 time.Duration
	cpu            float64 // seconds for 10,000 events, of the server's process
	allocations    float64 // for one event
	peak           uint64  // bytes
}

// snapshot is what a server has used so far.
type snapshot struct {
	cpu       time.Duration
	mallocs   float64
	confirmed float64
	spooled   float64
}

func (s *server) snapshot() (snapshot, error) {
	m, err := metrics(s.admin)
	if err != nil {
		return snapshot{}, err
	}
	cpu, err := s.cpu()
	return snapshot{
		cpu: cpu, mallocs: m["go_memstats_mallocs_total"],
		confirmed: m["gateway_claims_confirmed_total"], spooled: m["gateway_spool_entries"],
	}, err
}

// measure puts a rival up, warms it up with some of the callbacks and measures
// it with the others. It returns no figures of a run that was not as it should be.
func (l *lab) measure(ctx context.Context, r rival, set setting, work load) (figures, error) {
	s, err := r.begin(ctx, set)
	if err != nil {
		return figures{}, err
	}
	f, err := s.observe(ctx, r, work)
	return f, errors.Join(err, s.end(ctx))
}

// observe measures a server that has just begun.
func (s *server) observe(ctx context.Context, r rival, work load) (figures, error) {
	if err := s.warm(ctx, r, work.callbacks[:warmUp], work.connections); err != nil {
		return figures{}, err
	}
	work.addr, work.again, work.judge = s.public, r.again, r.judge
	work.callbacks = work.callbacks[warmUp:]
	return s.bear(ctx, work)
}

// warm has a server open its connections, and waits until it is at rest. What
// new topics do not take yet, a gateway spools and delivers later.
func (s *server) warm(ctx context.Context, r rival, callbacks []callback, connections int) error {
	judge := r.judge
	if s.topics != nil {
		judge = wantsTaken
	}
	before, err := s.snapshot()
	if err != nil {
		return err
	}
	work := load{addr: s.public, callbacks: callbacks, connections: connections, length: patience, judge: judge}
	o, err := work.apply(ctx)
	if err != nil {
		return fmt.Errorf("warm up: %w", err)
	}
	return s.rest(before.confirmed + float64(o.sent))
}

// rest returns when a gateway has confirmed so many claims, which it does behind
// its answers, and has nothing in its spool.
func (s *server) rest(confirmed float64) error {
	if s.topics == nil {
		return nil
	}
	return s.await(20*time.Millisecond, func() error {
		now, err := s.snapshot()
		if err == nil && (now.confirmed < confirmed || now.spooled > 0) {
			err = fmt.Errorf("%.0f of %.0f claims are confirmed, %.0f events are in the spool", now.confirmed, confirmed, now.spooled)
		}
		return err
	})
}

// bear measures a load, and holds Kafka against it.
func (s *server) bear(ctx context.Context, work load) (f figures, err error) {
	var ends kadm.ListedOffsets
	if s.topics != nil {
		if ends, err = s.topics.ends(ctx); err != nil {
			return f, err
		}
	}
	before, err := s.snapshot()
	if err != nil {
		return f, err
	}
	o, err := work.apply(ctx)
	if err != nil {
		return f, err
	}
	if err := s.rest(before.confirmed + float64(o.sent)); err != nil {
		return f, err
	}
	after, err := s.snapshot()
	if err != nil {
		return f, err
	}
	if f.peak, err = s.peak(); err != nil {
		return f, err
	}
	if s.topics != nil {
		if err := s.topics.holdsOnce(ctx, ends, work.callbacks[:o.sent]); err != nil {
			return f, err
		}
	}
	events := float64(o.sent)
	f.rate = events / o.elapsed.Seconds()
	f.p50, f.p99, f.p999 = quantile(o.took, 0.5), quantile(o.took, 0.99), quantile(o.took, 0.999)
	f.cpu = (after.cpu - before.cpu).Seconds() / events * 10_000
	f.allocations = (after.mallocs - before.mallocs) / events
	return f, nil
}
