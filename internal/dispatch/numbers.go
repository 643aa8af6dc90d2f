package dispatch

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"awareid-gateway/internal/event"
)

// Numbers remembers which transaction numbers have come. See store.Redis for its
// promises.
type Numbers interface {
	See(ctx context.Context, seen []event.Number) error
}

const (
	seeTimeout = 5 * time.Second
	// seePatience is how long one batch is tried. A number that is forgotten is a
	// hole that is none: backfill fetches its event and finds a duplicate.
	seePatience = time.Minute
	// seeAtEnd is how long the end of the gateway waits for the store.
	seeAtEnd = 2 * time.Second
)

// seer tells the store which numbers have come.
type seer struct {
	backlog   *backlog[event.Number]
	numbers   Numbers // nil: nobody wants to know
	log       *slog.Logger
	forgotten prometheus.Counter
	without   *prometheus.CounterVec
}

func newSeer(numbers Numbers, log *slog.Logger, m metrics) *seer {
	s := &seer{numbers: numbers, log: log, forgotten: m.forgotten, without: m.without}
	s.backlog = newBacklog(s.tell, m.forgotten.Inc)
	return s
}

// see notes the number of an event that is answered for with an outcome. That
// is also one which the broker refused and quarantine keeps: fetching it again
// would not help. Of what was fetched backfill tells the store itself. It never
// blocks.
func (s *seer) see(dl *delivery, o Outcome) {
	switch {
	case s.numbers == nil, dl.origin == Backfill:
	case dl.number != nil:
		s.backlog.add(dl.number.Number)
	case !dl.spooled && (o == Accepted || o == Spooled):
		s.without.WithLabelValues(dl.webhook).Inc()
	}
}

// tell tries for a while. Seeing twice does no harm.
func (s *seer) tell(ctx context.Context, batch []event.Number) {
	until := time.Now().Add(seePatience)
	for backoff := firstBackoff; ; backoff = min(2*backoff, lastBackoff) {
		err := s.try(ctx, batch)
		switch {
		case err == nil:
			return
		case time.Now().After(until):
			s.forgotten.Add(float64(len(batch)))
			s.log.Warn("transaction numbers are forgotten; backfill will fetch their events and find duplicates", "numbers", len(batch), "error", err)
			return
		case !pause(ctx, backoff):
			return
		}
	}
}

func (s *seer) try(ctx context.Context, batch []event.Number) error {
	ctx, cancel := context.WithTimeout(ctx, seeTimeout)
	defer cancel()
	return s.numbers.See(ctx, batch)
}

// close waits a little until the store knows all numbers, and not longer than the
// context. A number that it does not know then is no failure: its event is where
// it belongs, and a store that is away must not hold up the end.
func (s *seer) close(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, seeAtEnd)
	defer cancel()
	if left := s.backlog.close(ctx); left > 0 {
		s.forgotten.Add(float64(left))
		s.log.Warn("transaction numbers have not reached the store; backfill will fetch their events and find duplicates", "numbers", left)
	}
}

// numbered is what a delivery knows of its event's transaction number.
type numbered struct {
	event.Number
	Alias    string         `json:"alias"`    // as in event.Claim
	Identity []event.Header `json:"identity"` // of its records under another id; see delivery.identify
}

// alias is "" for a delivery without a number.
func (dl *delivery) alias() string {
	if dl.number == nil {
		return ""
	}
	return dl.number.Alias
}

// numberOf is nil where the event has no number, or nobody wants to know.
func (d *Dispatcher) numberOf(in Inbound) *numbered {
	n, ok := in.Event.Sequence()
	if !ok || d.opts.Numbers == nil {
		return nil
	}
	return &numbered{
		Number: event.Number{Webhook: in.WebhookID, N: n},
		Alias:  in.Event.AliasKey(in.WebhookID),
	}
}
