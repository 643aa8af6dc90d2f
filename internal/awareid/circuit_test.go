package awareid_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/awareid"
	"awareid-gateway/internal/simulator"
)

// breakDown makes so many calls fail that the circuit opens.
func (w *world) breakDown(fault simulator.Fault) {
	w.t.Helper()
	for range awareid.CircuitFailures {
		w.faults.On(registrations, fault)
		_, err := w.client.Webhooks(w.t.Context())
		require.ErrorIs(w.t, err, awareid.ErrUnavailable)
	}
}

func oneAttempt(o *awareid.Options, _ *simulator.PlatformOptions) { o.Attempts = 1 }

func TestTheCircuitOpensAndCloses(t *testing.T) {
	inWorld(t, oneAttempt, func(t *testing.T, w *world) {
		w.breakDown(simulator.Refuse(503, ""))
		require.Equal(t, 1, w.sum("gateway_awareid_circuit_open", nil))

		before := len(w.seen)
		began := time.Now()
		_, err := w.client.Webhooks(t.Context())
		require.ErrorIs(t, err, awareid.ErrUnavailable)
		require.ErrorContains(t, err, "the circuit is open")
		_, err = w.client.Register(t.Context(), registration())
		require.ErrorIs(t, err, awareid.ErrUnavailable)
		require.NotErrorIs(t, err, awareid.ErrOutcomeUnknown, "it was not sent")
		require.Zero(t, time.Since(began))
		require.Len(t, w.seen, before, "an open circuit leaves the platform alone")
		require.Equal(t, 1, w.count("list_webhooks", "circuit_open"))

		time.Sleep(awareid.CircuitPause + 1)
		w.faults.On(registrations, simulator.Refuse(500, ""))
		_, err = w.client.Webhooks(t.Context())
		require.ErrorIs(t, err, awareid.ErrUnavailable)
		_, err = w.client.Webhooks(t.Context())
		require.ErrorContains(t, err, "the circuit is open", "one failure is enough now")

		time.Sleep(awareid.CircuitPause + 1)
		for range 3 {
			_, err = w.client.Webhooks(t.Context())
			require.NoError(t, err)
		}
		require.Zero(t, w.sum("gateway_awareid_circuit_open", nil))
	})
}

// A call that fails often enough to open the circuit tells why it failed, and
// does not wait for an open one.
func TestTheCircuitEndsACall(t *testing.T) {
	inWorld(t, func(o *awareid.Options, _ *simulator.PlatformOptions) { o.Attempts = 100 }, func(t *testing.T, w *world) {
		for range 100 {
			w.faults.On(registrations, simulator.Refuse(503, ""))
		}
		_, err := w.client.Webhooks(t.Context())
		require.Equal(t, 503, refusalOf(t, err).Status)
		require.Len(t, w.calls(registrations), awareid.CircuitFailures)
	})
}

// What a platform answers that is well, and what the caller ends, says nothing
// against it.
func TestTheCircuitStaysClosed(t *testing.T) {
	inWorld(t, oneAttempt, func(t *testing.T, w *world) {
		w.cancelOne()
		w.breakDownAlmost()
		for range 3 * awareid.CircuitFailures {
			for _, fault := range []simulator.Fault{
				simulator.Refuse(400, ""), simulator.Refuse(404, ""), simulator.Refuse(429, ""), simulator.Refuse(403, ""),
				simulator.Reply("text/html", "<html>"), simulator.Redirect("/"),
			} {
				w.faults.On(registrations, fault)
				_, err := w.client.Webhooks(t.Context())
				require.NotErrorIs(t, err, awareid.ErrUnavailable)
			}
		}
		require.NoError(t, w.call())
	})
}

// One that the caller ends says nothing for the platform either.
func TestACancelledCallDoesNotCount(t *testing.T) {
	inWorld(t, oneAttempt, func(t *testing.T, w *world) {
		w.breakDownAlmost()
		w.cancelOne()
		w.faults.On(registrations, simulator.Refuse(500, ""))
		require.ErrorIs(t, w.call(), awareid.ErrUnavailable)
		require.ErrorContains(t, w.call(), "the circuit is open")

		time.Sleep(awareid.CircuitPause + 1)
		w.cancelOne()
		w.faults.On(registrations, simulator.Refuse(500, ""))
		require.ErrorIs(t, w.call(), awareid.ErrUnavailable)
		require.ErrorContains(t, w.call(), "the circuit is open", "the cancelled one did not close it")
	})
}

// cancelOne makes a call that its caller gives up.
func (w *world) cancelOne() {
	w.t.Helper()
	ctx, cancel := context.WithCancel(w.t.Context())
	w.faults.On(registrations, simulator.Hang)
	time.AfterFunc(time.Second, cancel)
	_, err := w.client.Webhooks(ctx)
	require.ErrorIs(w.t, err, context.Canceled)
}

// breakDownAlmost fails once less than it takes.
func (w *world) breakDownAlmost() {
	w.t.Helper()
	for range awareid.CircuitFailures - 1 {
		w.faults.On(registrations, simulator.Refuse(500, ""))
		_, err := w.client.Webhooks(w.t.Context())
		require.ErrorIs(w.t, err, awareid.ErrUnavailable)
	}
}
