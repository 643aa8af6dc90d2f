package simulator

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

const (
	defaultConcurrency = 16
	defaultAttempts    = 5
	defaultBackoff     = 500 * time.Millisecond
	maxBackoff         = 10 * time.Second
	defaultTimeout     = 5 * time.Second
)

// SenderOptions say what is sent where, how fast, and with which mishaps.
type SenderOptions struct {
	Platform  *Platform  // where the webhook is registered
	WebhookID string     // whose URL gets the callbacks
	Generator *Generator // of the types the webhook hears of; Run's alone while it runs

	Rates     Rates
	Seed      uint64  // of the mishaps
	PerSecond float64 // events a second; 0: as fast as the answers come
	Count     int     // events, after which Run ends; 0: until its context does

	Concurrency int           // operations in flight at a time; 0: 16
	Attempts    int           // HTTP requests for one post at most; 0: 5
	Backoff     time.Duration // before the second attempt, then doubled up to 10 s; 0: 500 ms
	Timeout     time.Duration // of one attempt; 0: 5 s

	// OnAnswer hears of each post's end, one call at a time. May be nil.
	OnAnswer func(Answer)
}

// Sender is the part of the platform that makes callbacks. Events of one
// operation go out one after the other's answer, or after the last attempt
// failed; different operations go out at once.
type Sender struct {
	options SenderOptions
	client  *http.Client
	rng     *rand.Rand
	limiter *rate.Limiter

	mu         sync.Mutex
	tally      Tally
	deliveries []*Delivery

	hook sync.Mutex // makes OnAnswer one call at a time
}

// NewSender returns a sender that has not begun. It returns
// [ErrUnknownWebhook] where the platform has no such webhook, and an error for
// a number out of range or a missing platform or generator.
func NewSender(o SenderOptions) (*Sender, error) {
	if o.Platform == nil || o.Generator == nil {
		return nil, errors.New("a sender needs a platform and a generator")
	}
	if min(o.PerSecond, float64(o.Count), float64(o.Concurrency), float64(o.Attempts), float64(o.Backoff), float64(o.Timeout)) < 0 {
		return nil, errors.New("a sender's numbers are not negative")
	}
	if err := o.Rates.validate(); err != nil {
		return nil, err
	}
	if _, err := o.Platform.Webhook(o.WebhookID); err != nil {
		return nil, err
	}
	o.Concurrency = cmp.Or(o.Concurrency, defaultConcurrency)
	o.Attempts = cmp.Or(o.Attempts, defaultAttempts)
	o.Backoff = cmp.Or(o.Backoff, defaultBackoff)
	o.Timeout = cmp.Or(o.Timeout, defaultTimeout)
	limit := rate.Limit(o.PerSecond)
	if o.PerSecond == 0 {
		limit = rate.Inf
	}
	return &Sender{
		options: o,
		client:  newClient(o),
		rng:     rand.New(rand.NewPCG(o.Seed, o.Seed)), // #nosec G404 -- a seed makes it repeatable
		limiter: rate.NewLimiter(limit, 1),
	}, nil
}

// Run sends until Count events are through, or ctx ends: then no further event is
// made, those already made get at least one attempt, and the sums add up. A
// context's end is no error. It returns [ErrUnknownWebhook] if the webhook was
// deleted meanwhile. Run may be called once.
func (s *Sender) Run(ctx context.Context) (Tally, error) {
	defer s.client.CloseIdleConnections()
	l := newLanes(s.options.Concurrency, func(p *parcel) { s.deliver(ctx, p) })
	err := s.dispatch(ctx, l)
	l.finish()
	return s.Tally(), err
}

// dispatch makes the events. A slot is reserved before an event is made, so that
// none is made that is not sent.
func (s *Sender) dispatch(ctx context.Context, l *lanes) error {
	for n := 0; s.options.Count == 0 || n < s.options.Count; n++ {
		if s.limiter.Wait(ctx) != nil || !l.reserve(ctx) {
			return nil
		}
		p, err := s.next()
		if err != nil {
			l.release()
			return err
		}
		l.add(p)
	}
	return nil
}

// next makes an event, tells event data of it, and seals it for the webhook as it
// is registered now.
func (s *Sender) next() (*parcel, error) {
	hook, err := s.options.Platform.Webhook(s.options.WebhookID)
	if err != nil {
		return nil, err
	}
	event, err := s.options.Generator.Next()
	if err != nil {
		return nil, err
	}
	if err := s.options.Platform.Record(hook.ID, event); err != nil {
		return nil, err
	}
	scheme := s.options.Platform.SchemeOf(hook)
	p := &parcel{event: event, fate: drawFate(s.rng, s.options.Rates, scheme)}
	if p.fate.lost {
		return p, nil
	}
	body, header, err := scheme.Seal(event.Body)
	if err != nil {
		return nil, fmt.Errorf("seal event: %w", err)
	}
	p.post = post{url: hook.URL, body: body, header: header}
	if p.fate.tampering != "" {
		body, header = p.fate.forge(scheme, body, header)
		p.forged = post{url: hook.URL, body: body, header: header}
	}
	return p, nil
}

// deliver makes all posts of one event and returns when each has come to its end.
func (s *Sender) deliver(ctx context.Context, p *parcel) {
	d := s.begin(p)
	if p.fate.lost {
		s.end(d)
		return
	}
	if p.fate.tampering != "" {
		s.post(ctx, d, Forged, p.fate.tampering, p.forged)
	}
	var twin sync.WaitGroup
	if p.fate.repeated && p.fate.concurrent {
		twin.Go(func() { s.post(ctx, d, Repeat, "", p.post) })
	}
	s.post(ctx, d, Genuine, "", p.post)
	twin.Wait()
	if p.fate.repeated && !p.fate.concurrent {
		s.post(ctx, d, Repeat, "", p.post)
	}
	s.end(d)
}

func (s *Sender) begin(p *parcel) *Delivery {
	d := &Delivery{
		ID:             p.event.ID,
		Type:           p.event.Type,
		OperationToken: p.event.OperationToken,
		TransactionNum: p.event.TransactionNum,
		Digest:         sha256.Sum256(p.event.Body),
		Lost:           p.fate.lost,
		Reordered:      p.fate.reordered,
	}
	if s.options.Count > 0 {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.deliveries = append(s.deliveries, d)
	}
	return d
}

func (s *Sender) post(ctx context.Context, d *Delivery, kind Kind, tampering Tampering, what post) {
	a := what.send(ctx, s.client, s.options)
	a.EventID, a.Type, a.Kind, a.Tampering = d.ID, d.Type, kind, tampering
	s.mu.Lock()
	d.Answers = append(d.Answers, a)
	s.tally.addAnswer(a)
	s.mu.Unlock()
	if s.options.OnAnswer != nil {
		s.hook.Lock()
		defer s.hook.Unlock()
		s.options.OnAnswer(a)
	}
}

func (s *Sender) end(d *Delivery) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tally.addDelivery(*d)
}

// Tally returns the sums so far: posts that came to an end, and events all of
// whose posts did. Safe for concurrent use, also from OnAnswer.
func (s *Sender) Tally() Tally {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tally
}

// Deliveries returns the truth about each event of a run with a Count, in the
// order of sending: within an operation, this is the order that Kafka must show.
// A run without Count keeps the sums alone, as it has no end. Safe for concurrent
// use.
func (s *Sender) Deliveries() []Delivery {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]Delivery, 0, len(s.deliveries))
	for _, d := range s.deliveries {
		d := *d
		d.Answers = slices.Clone(d.Answers)
		all = append(all, d)
	}
	return all
}
