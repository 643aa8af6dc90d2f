package dispatch_test

import (
	"context"
	"slices"
	"sync"
	"time"

	"awareid-gateway/internal/dispatch"
	"awareid-gateway/internal/event"
)

// fakeStore grants every claim, unless its functions say otherwise, and notes
// what it is told.
type fakeStore struct {
	claim   func(ctx context.Context, c event.Claim) (event.Claim, event.Verdict, error)
	confirm func(ctx context.Context, done []event.Delivery) ([]bool, error)
	release func(ctx context.Context, key, token string) error
	ping    func() error

	mu       sync.Mutex
	claims   []event.Claim
	batches  [][]event.Delivery // what was confirmed
	released []string           // keys of claims that were given back
}

func (s *fakeStore) Claim(ctx context.Context, c event.Claim, _ event.Terms) (event.Claim, event.Verdict, error) {
	s.mu.Lock()
	s.claims = append(s.claims, c)
	s.mu.Unlock()
	if s.claim == nil {
		return c, event.Granted, nil
	}
	return s.claim(ctx, c)
}

func (s *fakeStore) Confirm(ctx context.Context, done []event.Delivery) ([]bool, error) {
	if s.confirm != nil {
		if owned, err := s.confirm(ctx, done); owned != nil || err != nil {
			return owned, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.batches = append(s.batches, slices.Clone(done))
	return slices.Repeat([]bool{true}, len(done)), nil
}

func (s *fakeStore) Release(ctx context.Context, key, token string) error {
	s.mu.Lock()
	s.released = append(s.released, key)
	s.mu.Unlock()
	if s.release == nil {
		return nil
	}
	return s.release(ctx, key, token)
}

func (s *fakeStore) Ping(context.Context) error {
	if s.ping == nil {
		return nil
	}
	return s.ping()
}

func (s *fakeStore) confirmed() []event.Delivery {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Concat(s.batches...)
}

// Failing: the fake partition takes records, whatever it answers.
func (p *fakeProducer) Failing(event.Place) bool { return false }

// home is where the fake producer places every key.
func home(topic string) event.Place { return event.Place{Topic: topic, Partition: 3} }

const (
	homeEnd    = 100 // of the partition before a claim
	homeOffset = 107 // of each record that is produced
)

// fakeProducer stores every record, unless its functions say otherwise, and
// notes what it is given.
type fakeProducer struct {
	place  func() error
	append func(r dispatch.Record, done func(int64, error))
	find   func(ctx context.Context, at event.Place, from int64, headers []event.Header) (int64, bool, error)

	findSince func(ctx context.Context, at event.Place, since time.Time, headers []event.Header) (int64, bool, error)

	mu      sync.Mutex
	appends []appended
}

type appended struct {
	at       event.Place
	record   dispatch.Record
	deadline time.Time
}

func (p *fakeProducer) Place(_ context.Context, topic, _ string) (event.Place, int64, error) {
	if p.place != nil {
		return event.Place{}, 0, p.place()
	}
	return home(topic), homeEnd, nil
}

func (p *fakeProducer) Append(at event.Place, r dispatch.Record, deadline time.Time, done func(int64, error)) {
	p.mu.Lock()
	p.appends = append(p.appends, appended{at, r, deadline})
	p.mu.Unlock()
	if p.append == nil {
		go done(homeOffset, nil)
		return
	}
	p.append(r, done)
}

func (p *fakeProducer) Find(ctx context.Context, at event.Place, from int64, headers []event.Header) (int64, bool, error) {
	return p.find(ctx, at, from, headers)
}

func (p *fakeProducer) FindSince(ctx context.Context, at event.Place, since time.Time, headers []event.Header) (int64, bool, error) {
	return p.findSince(ctx, at, since, headers)
}

func (p *fakeProducer) produced() []appended {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.appends)
}

// answer makes every record end with err.
func answer(err error) func(dispatch.Record, func(int64, error)) {
	return func(_ dispatch.Record, done func(int64, error)) {
		go func() {
			if err != nil {
				done(0, err)
				return
			}
			done(homeOffset, nil)
		}()
	}
}
