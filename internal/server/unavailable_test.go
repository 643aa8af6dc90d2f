package server_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"awareid-gateway/internal/event"
	"awareid-gateway/internal/server"
)

// inFlight is what the sender of an event hears that another attempt holds.
// Where its time ends in the middle of a look at the claim, the store gets the
// blame.
const inFlight = "the same event is being delivered|the store of known events does not answer"

// requireLater asserts a 503 that says when to come again and, to a sender whose
// signature held, why.
func requireLater(t *testing.T, a answer, detail string) {
	t.Helper()
	got := requireProblem(t, a, 503)
	require.Regexp(t, detail, got)
	require.Regexp(t, `^[1-9][0-9]*$`, a.header.Get("Retry-After"))
}

func TestStoreDown(t *testing.T) {
	b := newBackend(t)
	g := b.serve(t)
	id, body := newEvent()
	raw := g.signed(t, body)
	b.redis.SetError("LOADING Redis is loading the dataset in memory")
	requireLater(t, g.exchange(t, raw), "store")
	b.redis.SetError("")
	b.redis.Close()
	requireLater(t, g.exchange(t, raw), "store")
	require.Zero(t, b.stored(t))

	require.NoError(t, b.redis.Start())
	requireStatus(t, g.exchange(t, raw), 200, "accepted", id)
}

func TestKafkaDown(t *testing.T) {
	b := newBackend(t)
	g := b.serve(t, func(s *setUp) { s.produceTimeout = time.Second })
	var healthy atomic.Bool
	b.kafka.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		b.kafka.KeepControl()
		return produceAnswer(req, kerr.NotEnoughReplicas), nil, !healthy.Load()
	})
	var id, raw string
	for told := false; !told; { // on a busy machine the last try can be cut short: then it is not known
		var body []byte
		id, body = newEvent()
		raw = g.signed(t, body)
		a := g.exchange(t, raw)
		requireLater(t, a, "Kafka did not take the event|Kafka has not acknowledged the event")
		told = strings.Contains(string(a.body), "did not take")
	}
	require.Zero(t, b.stored(t))

	healthy.Store(true)
	requireStatus(t, g.exchange(t, raw), 200, "accepted", id) // its claim was given back
	b.kafka.Close()
	_, body := newEvent()
	requireLater(t, g.exchange(t, g.signed(t, body)), "Kafka")
	g.eventually(t, "gateway_body_bytes", 0)
}

// produceAnswer is an answer that stores nothing.
func produceAnswer(req kmsg.Request, code *kerr.Error) kmsg.Response {
	r := req.(*kmsg.ProduceRequest)
	answer := r.ResponseKind().(*kmsg.ProduceResponse)
	p := kmsg.NewProduceResponseTopicPartition()
	p.ErrorCode, p.BaseOffset = code.Code, -1
	topic := kmsg.NewProduceResponseTopic()
	topic.Topic, topic.Partitions = r.Topics[0].Topic, append(topic.Partitions, p)
	answer.Topics = append(answer.Topics, topic)
	return answer
}

// TestKafkaSilent: the answer does not wait for longer than a request may take,
// and what Kafka may still read stays counted until Kafka has answered.
func TestKafkaSilent(t *testing.T) {
	b := newBackend(t)
	g := b.serve(t, func(s *setUp) { s.Limits.RequestTimeout = 200 * time.Millisecond })
	gate := make(chan struct{})
	b.kafka.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		b.kafka.SleepControl(func() { <-gate })
		return nil, nil, false
	})
	id, body := newEvent()
	raw := g.signed(t, body)
	requireLater(t, g.exchange(t, raw), "has not acknowledged")
	require.Positive(t, g.metric("gateway_body_bytes"))
	requireLater(t, g.exchange(t, raw), inFlight)

	close(gate)
	g.eventually(t, "gateway_body_bytes", 0)
	requireStatus(t, g.exchange(t, raw), 200, "duplicate", id)
	require.Len(t, having(b.records(t), "awareid.enrollment", "ce_id", id), 1)
}

func TestInFlightElsewhere(t *testing.T) {
	b := newBackend(t)
	g := b.serve(t, func(s *setUp) { s.Limits.RequestTimeout = 200 * time.Millisecond })
	id, body := newEvent()
	terms := event.Terms{Lease: time.Minute, TakeoverWait: time.Second, Keep: time.Hour}
	claim := event.Claim{Key: webhookID + "/" + id, Token: "another", Place: event.Place{Topic: "awareid.enrollment"}}
	_, verdict, err := g.store.Claim(t.Context(), claim, terms)
	require.NoError(t, err)
	require.Equal(t, event.Granted, verdict)

	requireLater(t, g.exchange(t, g.signed(t, body)), inFlight)
	require.Zero(t, b.stored(t))
	require.Zero(t, g.metric("gateway_body_bytes"))
}

// TestNothingTakesIt: neither an event nor a body for the quarantine gets a 2xx
// that no record stands behind.
func TestNothingTakesIt(t *testing.T) {
	b := newBackend(t)
	g := b.serve(t)
	b.kafka.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		b.kafka.KeepControl()
		return produceAnswer(req, kerr.InvalidRecord), nil, true
	})
	_, body := newEvent()
	for _, raw := range []string{g.signed(t, body), g.signed(t, []byte(`{"id":"malformed"}`))} {
		requireLater(t, g.exchange(t, raw), "Kafka refuses the event")
	}
	b.redis.SetError("LOADING")
	requireLater(t, g.exchange(t, g.signed(t, []byte(`{"id":"malformed"}`))), "store")
	require.Zero(t, b.stored(t))
	g.eventually(t, "gateway_body_bytes", 0)
}

// TestRefusedByTheBroker: what the topic of its family does not take is kept in
// quarantine.
func TestRefusedByTheBroker(t *testing.T) {
	b := newBackend(t)
	g := b.serve(t)
	b.kafka.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		b.kafka.KeepControl()
		if req.(*kmsg.ProduceRequest).Topics[0].Topic == "awareid.quarantine" {
			return nil, nil, false
		}
		return produceAnswer(req, kerr.InvalidRecord), nil, true
	})
	_, body := newEvent()
	requireStatus(t, g.exchange(t, g.signed(t, body)), 202, "quarantined", "")
	require.Len(t, having(b.records(t), "awareid.quarantine", "gateway-reason", "refused"), 1)
	g.eventually(t, "gateway_body_bytes", 0)
}

func TestBodyBudgetUsedUp(t *testing.T) {
	b := newBackend(t)
	g := b.serve(t, func(s *setUp) { s.Limits.BodyBudgetBytes = 30_000 })
	g.scheme.Cipher = "none"

	// A body that is on its way holds what has arrived of it.
	header, body := sealed(t, g.scheme, make([]byte, 20_000))
	half := g.dial(t)
	half.send(chunked(server.Path, header, body, 5000)[:16_000])
	g.eventually(t, "gateway_body_bytes", 16<<10)

	id, small := newEvent()
	c := g.dial(t)
	header, body = sealed(t, g.scheme, padded(small, 20_000))
	a := c.send(post(server.Path, header, body)).answer(t)
	requireLater(t, a, "")
	require.Empty(t, requireProblem(t, a, 503), "the sender may be anybody")
	c.hungUp(t, a)
	requireStatus(t, g.exchange(t, g.signed(t, small)), 200, "accepted", id)

	half.Close()
	g.eventually(t, "gateway_body_bytes", 0)
	other, large := newEvent()
	requireStatus(t, g.exchange(t, g.signed(t, padded(large, 15_000))), 200, "accepted", other)
}

// TestAnnouncedBodiesCostNothing: the budget has room for one body, and hundreds
// are announced.
func TestAnnouncedBodiesCostNothing(t *testing.T) {
	g := newBackend(t).serve(t, func(s *setUp) { s.Limits.BodyBudgetBytes = 64 << 10 })
	for range 200 {
		g.dial(t).send(head("POST", server.Path, http.Header{"Content-Length": {fmt.Sprint(60_000)}}))
	}
	g.eventually(t, "gateway_connections", 200)
	require.Zero(t, g.metric("gateway_body_bytes"))
	require.Equal(t, 200, g.exchange(t, g.valid(t)).status)
}
