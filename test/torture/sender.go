package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"awareid-gateway/internal/simulator"
)

const (
	// senders are the operations under way at the same time, enough to keep the
	// pace while each answer takes as long as a gateway may.
	senders      = 400
	maxLength    = 20 // events of an operation
	callTimeout  = 5 * time.Second
	firstBackoff = 50 * time.Millisecond
	lastBackoff  = time.Second
	giveUpAfter  = 90 * time.Second
	repeatWithin = time.Second
)

// sender posts events as a webhook platform does.
type sender struct {
	ledger  *ledger
	urls    []string // of the gateways
	scheme  simulator.Scheme
	client  *http.Client
	longest int  // operation, in events
	repeats bool // send some events more often than it takes
}

func newSender(l *ledger, c *cluster) *sender {
	s := &sender{
		ledger: l, scheme: simulator.Scheme{Secret: c.secret}, longest: maxLength,
		client: &http.Client{Timeout: callTimeout, Transport: &http.Transport{MaxIdleConnsPerHost: 2 * senders}},
	}
	for _, g := range c.gateways {
		s.urls = append(s.urls, g.public)
	}
	return s
}

// run sends so many events of many operations, spread over the given time, and
// returns when each has its 2xx or was given up.
func (s *sender) run(ctx context.Context, events int, over time.Duration, rng *rand.Rand) {
	s.ledger.waitBegins()
	pace := rate.NewLimiter(rate.Limit(float64(events)/over.Seconds()), 10)
	slots := make(chan struct{}, senders)
	var all sync.WaitGroup
	for events > 0 && ctx.Err() == nil {
		length := min(events, 2+rng.IntN(s.longest-1))
		events -= length
		slots <- struct{}{}
		index, own := s.ledger.open(rng.IntN(len(kinds)), length), rand.New(rand.NewPCG(rng.Uint64(), 2))
		all.Go(func() {
			defer func() { <-slots }()
			s.operation(ctx, index, length, pace, own, &all)
		})
	}
	all.Wait()
}

// operation sends one event after the 2xx of the one before.
func (s *sender) operation(ctx context.Context, index, length int, pace *rate.Limiter, rng *rand.Rand, all *sync.WaitGroup) {
	for sequence := range length {
		if pace.Wait(ctx) != nil {
			return
		}
		p := s.ledger.write(index, sequence)
		if s.repeats && rng.IntN(50) == 0 { // to all at the same moment
			for gateway := range s.urls {
				all.Go(func() { s.post(ctx, p, gateway) })
			}
		}
		if !s.deliver(ctx, p, rng) {
			return
		}
		if s.repeats && rng.IntN(20) == 0 { // although it was acknowledged
			wait, gateway := time.Duration(rng.Int64N(int64(repeatWithin))), rng.IntN(len(s.urls))
			all.Go(func() {
				time.Sleep(wait)
				s.post(ctx, p, gateway)
			})
		}
	}
}

// deliver tries until there is a 2xx.
func (s *sender) deliver(ctx context.Context, p parcel, rng *rand.Rand) bool {
	began := time.Now()
	for backoff := firstBackoff; ; backoff = min(2*backoff, lastBackoff) {
		if s.post(ctx, p, rng.IntN(len(s.urls))).acknowledges() {
			return true
		}
		if ctx.Err() != nil || time.Since(began) > giveUpAfter {
			return false
		}
		time.Sleep(backoff/2 + time.Duration(rng.Int64N(int64(backoff))))
	}
}

func (s *sender) post(ctx context.Context, p parcel, gateway int) answer {
	began := time.Now()
	a := answer{at: began.Sub(s.ledger.began), gateway: gateway}
	var err error
	a.code, a.word, err = s.exchange(ctx, p, gateway)
	if err != nil {
		a.code, a.word = 0, err.Error()
	}
	a.took = time.Since(began)
	s.ledger.answered(p.number, a)
	return a
}

func (s *sender) exchange(ctx context.Context, p parcel, gateway int) (code int, word string, err error) {
	body, header, err := s.scheme.Seal(p.body)
	if err != nil {
		return 0, "", err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.urls[gateway]+"/webhooks/awareid", bytes.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	request.Header = header
	request.GetBody = nil // the transport must not send it again by itself
	response, err := s.client.Do(request)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	raw, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, "", err
	}
	var said struct{ Status any }
	if json.Unmarshal(raw, &said) != nil {
		return response.StatusCode, string(raw), nil
	}
	return response.StatusCode, fmt.Sprint(said.Status), nil
}
