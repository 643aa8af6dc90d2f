package dispatch_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/dispatch"
	"awareid-gateway/internal/event"
)

// accept brings n events into Kafka and does not wait for their confirmations.
func accept(t *testing.T, d dispatcher, n int) {
	t.Helper()
	began := time.Now()
	for i := range n {
		outcome, err := d.Dispatch(t.Context(), inbound(fmt.Sprint("evt-", i)))
		require.NoError(t, err)
		require.Equal(t, dispatch.Accepted, outcome)
	}
	require.Zero(t, time.Since(began), "no answer waits for a confirmation")
}

// endedContext is of a caller that waits no longer.
func endedContext(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}

// gated holds every confirmation until the gate is closed.
func gated() (confirm func(context.Context, []event.Delivery) ([]bool, error), gate chan struct{}) {
	gate = make(chan struct{})
	return func(ctx context.Context, _ []event.Delivery) ([]bool, error) {
		select {
		case <-gate:
			return nil, nil // as the fake does without it
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}, gate
}

func TestConfirmationsShareBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		confirm, gate := gated()
		s := fakeStore{confirm: confirm}
		d := newDispatcher(t, &s, &fakeProducer{})
		const n = 1200
		accept(t, d, n)
		close(gate)
		d.close(t)

		keys := map[string]bool{}
		for _, done := range s.confirmed() {
			keys[done.Key] = true
		}
		require.Len(t, keys, n)
		require.Len(t, s.confirmed(), n, "each once")
		require.LessOrEqual(t, len(s.batches), 4)
		for _, batch := range s.batches {
			require.LessOrEqual(t, len(batch), 512)
		}
		require.Equal(t, n, d.count(t, "gateway_claims_confirmed_total"))
	})
}

func TestConfirmationsOutlastTheStoresAbsence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const away = 40 * time.Second
		back := time.Now().Add(away)
		var calls atomic.Int32
		ask := func() error {
			if time.Now().Before(back) {
				return errAway
			}
			return nil
		}
		s := fakeStore{ping: ask, confirm: func(context.Context, []event.Delivery) ([]bool, error) {
			calls.Add(1)
			return nil, ask()
		}}
		d := newDispatcher(t, &s, &fakeProducer{})
		accept(t, d, 600)
		d.close(t)

		require.False(t, time.Now().Before(back), "Close waited for the store")
		require.Less(t, time.Since(back), time.Second, "its return is noticed soon")
		require.Less(t, calls.Load(), int32(400), "it is not asked all the time")
		require.Len(t, s.confirmed(), 600)
	})
}

func TestAStoreThatNeverAnswersIsAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int32
		s := fakeStore{confirm: func(ctx context.Context, _ []event.Delivery) ([]bool, error) {
			if calls.Add(1) < 3 {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return nil, nil
		}}
		d := newDispatcher(t, &s, &fakeProducer{})
		accept(t, d, 1)
		d.close(t)
		require.Len(t, s.confirmed(), 1)
	})
}

func TestCloseWaitsForConfirmations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		confirm, gate := gated()
		d := newDispatcher(t, &fakeStore{confirm: confirm}, &fakeProducer{})
		accept(t, d, 1)
		closed := make(chan error, 1)
		go func() { closed <- d.Close(context.Background()) }()
		synctest.Wait()
		require.Empty(t, closed)
		close(gate)
		require.NoError(t, <-closed)
	})
}

func TestCloseSaysHowManyConfirmationsAreLeft(t *testing.T) {
	for _, n := range []int{1, 3, 1200} {
		synctest.Test(t, func(t *testing.T) {
			confirm, gate := gated()
			s := fakeStore{confirm: confirm}
			d := newDispatcher(t, &s, &fakeProducer{})
			accept(t, d, n)
			synctest.Wait() // some of them are with the store, which does not answer
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			err := d.Close(ctx)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.ErrorContains(t, err, fmt.Sprintf("%d confirmations", n))

			synctest.Wait()
			close(gate)
			synctest.Wait()
			require.Empty(t, s.confirmed(), "nothing goes on after Close")
		})
	}
}

func TestCloseWhenNothingIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for range 20 {
			d := newDispatcher(t, &fakeStore{}, &fakeProducer{})
			accept(t, d, 2)
			synctest.Wait()
			if err := d.Close(endedContext(t)); err != nil {
				require.NotContains(t, err.Error(), "confirmations", "none is left")
			}
		}
	})
}

func TestCloseGivesUpWaitingForKafka(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var orphan func(int64, error)
		p := fakeProducer{append: func(_ dispatch.Record, done func(int64, error)) { orphan = done }}
		s := fakeStore{confirm: func(context.Context, []event.Delivery) ([]bool, error) { return nil, errAway }}
		d := newDispatcher(t, &s, &p)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := d.Dispatch(ctx, inbound("evt-1"))
		requireCause(t, dispatch.ErrUnknown, err)
		require.ErrorContains(t, d.Close(ctx), "Kafka's answers")

		orphan(homeOffset, nil) // and what comes now finds no store, and ends
	})
}

// TestALongAbsenceOfTheStore wants bounded memory, and that nothing blocks.
func TestALongAbsenceOfTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit = 1 << 16
		confirm, gate := gated()
		s := fakeStore{confirm: confirm}
		p := fakeProducer{append: func(_ dispatch.Record, done func(int64, error)) { done(homeOffset, nil) }}
		d := newDispatcher(t, &s, &p)
		in := inbound("evt")
		for range limit + 2000 {
			if _, err := d.Dispatch(t.Context(), in); err != nil {
				t.Fatal(err)
			}
		}
		close(gate)
		d.close(t)
		require.Less(t, len(s.confirmed()), limit+1000)
		require.GreaterOrEqual(t, len(s.confirmed()), limit)
	})
}

// One confirmation that the store will not take does not hold up the others.
func TestOneBadConfirmation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := fakeStore{confirm: func(_ context.Context, done []event.Delivery) ([]bool, error) {
			for _, d := range done {
				if strings.HasSuffix(d.Key, "/bad") {
					return nil, errAway
				}
			}
			return nil, nil
		}}
		d := newDispatcher(t, &s, &fakeProducer{})
		for _, id := range []string{"evt-1", "bad", "evt-2"} {
			_, err := d.Dispatch(t.Context(), inbound(id))
			require.NoError(t, err)
		}
		d.close(t)
		require.Len(t, s.confirmed(), 2)
		require.Equal(t, 1, d.count(t, "gateway_confirmations_dropped_total"))
	})
}
