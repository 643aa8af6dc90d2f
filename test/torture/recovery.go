package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// recovery measures how soon and how fast the gateways go on when Kafka is back.
type recovery struct {
	*torture
	brokers *realKafka
	pulse   *pulse
}

// absence is a way for Kafka to be away.
type absence struct {
	name  string
	begin func() error
	end   func() error
	seen  bool // an independent producer sees its end, too
}

const (
	awayFor    = 8 * time.Second
	breath     = 3 * time.Second
	returnRate = 200         // events a second while a return is timed
	maxReturn  = time.Minute // for the brokers, and then for a 200
)

// measure runs all measurements.
func (t *torture) measure(ctx context.Context) {
	r := &recovery{torture: t, brokers: t.cluster.kafka.(*realKafka), pulse: &pulse{}}
	t.ledger.observe = r.pulse.beat
	if err := r.brokers.makeProbeTopic(ctx); err != nil {
		t.trouble = append(t.trouble, err)
		return
	}
	for _, a := range r.absences() {
		err := r.timeReturns(ctx, a)
		if err == nil {
			err = r.timeDrain(ctx, a)
		}
		if err != nil {
			t.trouble = append(t.trouble, fmt.Errorf("%s: %w", a.name, err))
			break
		}
	}
}

func (r *recovery) result(name, format string, args ...any) {
	r.results = append(r.results, row{name, fmt.Sprintf(format, args...)})
	r.say("%s: %s", name, fmt.Sprintf(format, args...))
}

func (r *recovery) absences() []absence {
	var all []*process
	for _, b := range r.brokers.brokers {
		all = append(all, b.process)
	}
	links := r.brokers.links()
	return []absence{
		{"network cut", each(links, (*link).cut), each(links, (*link).open), false},
		{"two brokers suspended", each(all[1:], (*process).suspend), each(all[1:], (*process).resume), true},
		{"all brokers killed", each(all, (*process).kill), each(all, (*process).start), true},
	}
}

// traffic sends at a rate until it is stopped.
func (r *recovery) traffic(ctx context.Context, rate, longest int) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	s := newSender(r.ledger, r.cluster)
	s.longest = longest
	const day = 24 * time.Hour
	var sending sync.WaitGroup
	sending.Go(func() { s.run(ctx, rate*int(day.Seconds()), day, r.rng) })
	return sync.OnceFunc(func() {
		cancel()
		sending.Wait()
	})
}

// timeReturns measures the time to the first 200 after some returns.
func (r *recovery) timeReturns(ctx context.Context, a absence) error {
	var times []time.Duration
	for range r.options.rounds {
		d, err := r.timeReturn(ctx, a)
		if err != nil {
			return err
		}
		r.say("%s: the first 200 %v after the return", a.name, d.Round(time.Millisecond))
		times = append(times, d)
	}
	slices.Sort(times)
	r.result("first 200 after: "+a.name, "median %v, longest of %d %v", times[len(times)/2].Round(time.Millisecond),
		len(times), times[len(times)-1].Round(time.Millisecond))
	return nil
}

// timeReturn measures one. Operations are short, so that some begin at any time:
// one that has an event in a spool gets no 200 before that is drained.
func (r *recovery) timeReturn(ctx context.Context, a absence) (time.Duration, error) {
	stop := r.traffic(ctx, returnRate, 2)
	defer stop()
	time.Sleep(breath)
	if err := a.begin(); err != nil {
		return 0, err
	}
	time.Sleep(awayFor)
	r.pulse.reset()
	back, err := r.end(ctx, a)
	if err != nil {
		return 0, err
	}
	err = await(maxReturn, r.pulse.accepted)
	took := max(0, r.pulse.since().Sub(back)) // a gateway can be there first
	stop()
	return took, errors.Join(err, await(patience, r.calm))
}

// end lets Kafka return, and says when it did: when an independent producer got
// a record acknowledged by all in-sync replicas, where it was away for that too.
func (r *recovery) end(ctx context.Context, a absence) (time.Time, error) {
	if err := a.end(); err != nil || !a.seen {
		return time.Now(), err
	}
	return probe(ctx, r.brokers.addrs(), maxReturn)
}

// calm is nil when everything is up and drained.
func (r *recovery) calm() error { return errors.Join(r.cluster.ready(), r.drained(0)) }
