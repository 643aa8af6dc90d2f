package dispatch_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/dispatch"
	"awareid-gateway/internal/event"
)

// instantStore grants and confirms all, and remembers nothing.
type instantStore struct{ fakeStore }

func (*instantStore) Claim(_ context.Context, c event.Claim, _ event.Terms) (event.Claim, event.Verdict, error) {
	return c, event.Granted, nil
}

func (*instantStore) Confirm(_ context.Context, done []event.Delivery) ([]bool, error) {
	return make([]bool, len(done)), nil
}

// instantProducer has stored a record as soon as it is appended.
type instantProducer struct{ fakeProducer }

func (*instantProducer) Append(_ event.Place, _ dispatch.Record, _ time.Time, done func(int64, error)) {
	done(homeOffset, nil)
}

// BenchmarkDispatch is what the journey itself costs, beside store and Kafka.
func BenchmarkDispatch(b *testing.B) {
	d := newDispatcher(b, &instantStore{}, &instantProducer{}, func(o *dispatch.Options) { o.Numbers = forgetful{} })
	e, err := event.Parse([]byte(`{"id":"b6ea6be6-5e11-4946-9dc2-d41db57c5171","created":"2026-02-16T14:33:11.889-0500","type":"enrollment.completed","operationToken":"9336b7b9-6a37-4aca-91b0-10b929e5c340","transactionNum":1234567,"data":{"policyDecision":"PASS","responseDetail":{"faceLivenessResult":"PASS"}}}`))
	require.NoError(b, err)
	in := dispatch.Inbound{Event: e, WebhookID: webhook, Origin: dispatch.Callback, ReceivedAt: received, Release: func() {}}
	b.ReportAllocs()
	for b.Loop() {
		outcome, err := d.Dispatch(b.Context(), in)
		if err != nil || outcome != dispatch.Accepted {
			b.Fatal(outcome, err)
		}
	}
}

// forgetful are numbers that nobody wants to know.
type forgetful struct{}

func (forgetful) See(context.Context, []event.Number) error { return nil }
