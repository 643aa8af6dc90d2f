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
	senders      = 100 // operations under way at the same time
	callTimeout  = 5 * time.Second
	firstBackoff = 50 * time.Millisecond
	lastBackoff  = time.Second
	giveUpAfter  = 3 * time.Minute
)

// sent is an event and all that was answered.
type sent struct {
	id, operation, kind string
	sequence            int // within the operation
	body                []byte

	mu      sync.Mutex
	answers []answer
	acked   bool
}

// answer is one response, or its absence.
type answer struct {
	at, took time.Duration // at: when it was sent, since the start of the run
	gateway  int
	code     int    // 0: none
	word     string // the status of the body, or what went wrong
}

func (a answer) String() string {
	return fmt.Sprintf("t=%.3fs +%.3fs gateway-%d %d %s", a.at.Seconds(), a.took.Seconds(), a.gateway, a.code, a.word)
}

func (a answer) acknowledges() bool { return a.code/100 == 2 && a.word != "quarantined" }

// ledger is all that was ever sent.
type ledger struct {
	began time.Time

	mu         sync.Mutex
	events     map[string]*sent
	operations map[string][]*sent
	number     int
	tally      map[string]int // answers by word
	lastAck    time.Time
	longest    time.Duration // without a 2xx
}

func newLedger() *ledger {
	return &ledger{began: time.Now(), events: map[string]*sent{}, operations: map[string][]*sent{}, tally: map[string]int{}}
}

func (l *ledger) note(e *sent, a answer) {
	e.mu.Lock()
	e.answers = append(e.answers, a)
	e.acked = e.acked || a.acknowledges()
	e.mu.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case a.code/100 == 2:
		l.tally[a.word]++
	case a.code != 0:
		l.tally[fmt.Sprint(a.code)]++
	default:
		l.tally["no answer"]++
	}
	if a.acknowledges() {
		now := time.Now()
		l.longest = max(l.longest, now.Sub(l.lastAck))
		l.lastAck = now
	}
}

var kinds = [][]string{
	{"enrollment.started", "enrollment.face.check", "enrollment.voice.check", "enrollment.completed"},
	{"authentication.started", "authentication.face.check", "authentication.completed"},
	{"reenrollment.started", "reenrollment.completed"},
	{"unheardof.happened"},
}

func (l *ledger) add(operation string, family, sequence int) *sent {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.number++
	e := &sent{
		id: fmt.Sprintf("e%07d", l.number), operation: operation, sequence: sequence,
		kind: kinds[family][sequence%len(kinds[family])],
	}
	e.body = fmt.Appendf(nil, `{"id":%q,"created":%q,"type":%q,"operationToken":%q,"username":"nobody","data":{"transactionNum":%d}}`,
		e.id, time.Now().Format("2006-01-02T15:04:05.000-0700"), e.kind, operation, l.number)
	l.events[e.id] = e
	l.operations[operation] = append(l.operations[operation], e)
	return e
}

// sender posts events as a webhook platform does.
type sender struct {
	ledger *ledger
	urls   [gatewayCount]string
	scheme simulator.Scheme
	client *http.Client

	repeats bool // send some events more often than it takes
}

func newSender(l *ledger, c *cluster) *sender {
	return &sender{
		ledger: l, urls: c.public, scheme: simulator.Scheme{Secret: c.secret},
		client: &http.Client{Timeout: callTimeout, Transport: &http.Transport{MaxIdleConnsPerHost: 2 * senders}},
	}
}

// run sends so many events of many operations, spread over the given time, and
// returns when each has its 2xx or was given up.
func (s *sender) run(ctx context.Context, round, events int, over time.Duration, seed uint64) {
	s.ledger.mu.Lock()
	s.ledger.lastAck = time.Now()
	s.ledger.mu.Unlock()
	pace := rate.NewLimiter(rate.Limit(float64(events)/over.Seconds()), 10)
	rng := rand.New(rand.NewPCG(seed, 1))
	slots := make(chan struct{}, senders)
	var all sync.WaitGroup
	for i := 0; events > 0; i++ {
		n := min(events, 2+rng.IntN(20))
		events -= n
		slots <- struct{}{}
		operation, own := fmt.Sprintf("op-%d-%d", round, i), rand.New(rand.NewPCG(rng.Uint64(), 2))
		all.Go(func() {
			defer func() { <-slots }()
			s.operation(ctx, operation, n, pace, own, &all)
		})
	}
	all.Wait()
}

// operation sends one event after the 2xx of the one before.
func (s *sender) operation(ctx context.Context, operation string, n int, pace *rate.Limiter, rng *rand.Rand, all *sync.WaitGroup) {
	family := rng.IntN(len(kinds))
	for i := range n {
		if pace.Wait(ctx) != nil {
			return
		}
		e := s.ledger.add(operation, family, i)
		twice := 50
		if s.repeats {
			twice = rng.IntN(100)
		}
		if twice < 2 { // to both at the same moment
			all.Go(func() { s.post(ctx, e, 0) })
			all.Go(func() { s.post(ctx, e, 1) })
		}
		if !s.deliver(ctx, e, rng) {
			return
		}
		if twice >= 95 { // although it was acknowledged
			wait, gateway := time.Duration(rng.Int64N(int64(2*time.Second))), rng.IntN(gatewayCount)
			all.Go(func() {
				time.Sleep(wait)
				s.post(ctx, e, gateway)
			})
		}
	}
}

// deliver tries until there is a 2xx.
func (s *sender) deliver(ctx context.Context, e *sent, rng *rand.Rand) bool {
	began := time.Now()
	for backoff := firstBackoff; ; backoff = min(2*backoff, lastBackoff) {
		if s.post(ctx, e, rng.IntN(gatewayCount)).acknowledges() {
			return true
		}
		if ctx.Err() != nil || time.Since(began) > giveUpAfter {
			return false
		}
		time.Sleep(backoff/2 + time.Duration(rng.Int64N(int64(backoff))))
	}
}

func (s *sender) post(ctx context.Context, e *sent, gateway int) answer {
	began := time.Now()
	a := answer{at: began.Sub(s.ledger.began), gateway: gateway}
	var err error
	a.code, a.word, err = s.exchange(ctx, e, gateway)
	if err != nil {
		a.code, a.word = 0, err.Error()
	}
	a.took = time.Since(began)
	s.ledger.note(e, a)
	return a
}

func (s *sender) exchange(ctx context.Context, e *sent, gateway int) (code int, word string, err error) {
	body, header, err := s.scheme.Seal(e.body)
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
