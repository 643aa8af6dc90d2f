package dispatch_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/dispatch"
	"awareid-gateway/internal/event"
)

// busyUntil is a store in which somebody else's claim ends after a while.
func busyUntil(after time.Duration, v event.Verdict) func(context.Context, event.Claim) (event.Claim, event.Verdict, error) {
	end := time.Now().Add(after)
	return func(_ context.Context, c event.Claim) (event.Claim, event.Verdict, error) {
		if time.Now().Before(end) {
			return c, event.Busy, nil
		}
		return c, v, nil
	}
}

func TestSomebodyElsesClaimIsWaitedFor(t *testing.T) {
	for verdict, want := range map[event.Verdict]dispatch.Outcome{
		event.Delivered: dispatch.Duplicate,
		event.Granted:   dispatch.Accepted, // the other was given back
	} {
		synctest.Test(t, func(t *testing.T) {
			const busy = 3 * time.Second
			s := fakeStore{claim: busyUntil(busy, verdict)}
			d := newDispatcher(t, &s, &fakeProducer{})
			began := time.Now()
			outcome, err := d.Dispatch(t.Context(), inbound("evt-1"))
			require.NoError(t, err)
			require.Equal(t, want, outcome)
			require.Less(t, time.Since(began)-busy, 300*time.Millisecond, "the end is noticed soon")
			require.Less(t, len(s.claims), 30, "the store is not asked all the time")
			for _, c := range s.claims {
				require.Equal(t, s.claims[0].Token, c.Token, "one attempt has one token")
			}
			d.close(t)
		})
	}
}

func TestTheWaitForSomebodyElseEndsWithTheContext(t *testing.T) {
	forever := answerClaim(event.Busy)
	for name, claim := range map[string]func(context.Context, event.Claim) (event.Claim, event.Verdict, error){
		"between two looks": forever,
		"during a look": func(ctx context.Context, c event.Claim) (event.Claim, event.Verdict, error) {
			select {
			case <-time.After(300 * time.Millisecond):
				return c, event.Busy, nil
			case <-ctx.Done():
				return c, 0, ctx.Err()
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				for patience := 337 * time.Millisecond; patience < 2*time.Second; patience += 37 * time.Millisecond {
					p := fakeProducer{}
					d := newDispatcher(t, &fakeStore{claim: claim}, &p)
					in, releases := counted(inbound("evt-1"))
					ctx, cancel := context.WithTimeout(t.Context(), patience)
					began := time.Now()
					_, err := d.Dispatch(ctx, in)
					cancel()
					requireCause(t, dispatch.ErrInFlight, err)
					require.Equal(t, patience, time.Since(began))
					require.Empty(t, p.produced())
					require.EqualValues(t, 1, releases.Load())
					d.close(t)
				}
			})
		})
	}
}

func TestAStoreThatDoesNotAnswerIsNoOtherAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		silent := func(ctx context.Context, c event.Claim) (event.Claim, event.Verdict, error) {
			<-ctx.Done()
			return c, 0, ctx.Err()
		}
		p := fakeProducer{}
		d := newDispatcher(t, &fakeStore{claim: silent}, &p)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := d.Dispatch(ctx, inbound("evt-1"))
		requireCause(t, dispatch.ErrStore, err)
		require.Empty(t, p.produced())
		d.close(t)
	})
}

func TestTheAnswerThatComesAfterTheContext(t *testing.T) {
	for name, tc := range map[string]struct {
		err                 error
		confirmed, released int
	}{
		"stored":     {nil, 1, 0},
		"unknown":    {dispatch.ErrUnknown, 0, 0},
		"not stored": {dispatch.ErrNotStored, 0, 1},
		"refused":    {dispatch.ErrRefused, 0, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var done func(int64, error)
				p := fakeProducer{append: func(_ dispatch.Record, f func(int64, error)) { done = f }}
				s := fakeStore{}
				d := newDispatcher(t, &s, &p)
				in, releases := counted(inbound("evt-1"))
				ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
				defer cancel()
				_, err := d.Dispatch(ctx, in)
				requireCause(t, dispatch.ErrUnknown, err)
				require.Zero(t, releases.Load(), "the producer still reads the payload")

				closed := make(chan error, 1)
				go func() { closed <- d.Close(context.Background()) }()
				synctest.Wait()
				require.Empty(t, closed, "Close waits for Kafka's answer")

				go done(homeOffset, tc.err)
				require.NoError(t, <-closed)
				require.EqualValues(t, 1, releases.Load())
				require.Len(t, s.confirmed(), tc.confirmed)
				require.Len(t, s.released, tc.released)
			})
		})
	}
}

func TestNothingIsProducedWhenTheLeaseIsNearlyOver(t *testing.T) {
	const slack = lease - produceTimeout // an answer in less leaves a whole produce time-out
	for name, tc := range map[string]struct {
		verdict   event.Verdict
		claimTook time.Duration
		readTook  time.Duration
		produced  int
	}{
		"in time":                       {event.Granted, slack - 1, 0, 1},
		"the claim took too long":       {event.Granted, slack, 0, 0},
		"read back in time":             {event.Inherited, time.Second, slack - time.Second - 1, 1},
		"the read-back took too long":   {event.Inherited, time.Second, slack - time.Second, 0},
		"it took longer than the lease": {event.Inherited, lease, lease, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := fakeStore{claim: func(ctx context.Context, c event.Claim) (event.Claim, event.Verdict, error) {
					<-time.After(tc.claimTook)
					return answerClaim(tc.verdict)(ctx, c)
				}}
				p := fakeProducer{find: func(context.Context, event.Place, int64, []event.Header) (int64, bool, error) {
					<-time.After(tc.readTook)
					return 0, false, nil
				}}
				d := newDispatcher(t, &s, &p)
				in, releases := counted(inbound("evt-1"))
				began := time.Now()
				_, err := d.Dispatch(t.Context(), in)
				d.close(t)
				require.Len(t, p.produced(), tc.produced)
				require.EqualValues(t, 1, releases.Load())
				require.Len(t, s.released, 1-tc.produced, "whoever comes next need not wait for the lease")
				if tc.produced == 0 {
					requireCause(t, dispatch.ErrNotStored, err)
					return
				}
				require.NoError(t, err)
				require.True(t, p.produced()[0].deadline.Before(began.Add(lease)))
			})
		})
	}
}

// TestThePayloadOutlivesItsQuarantine has a refused record whose quarantine
// record gets its answer after the caller has left.
func TestThePayloadOutlivesItsQuarantine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var done func(int64, error)
		p := fakeProducer{append: func(r dispatch.Record, f func(int64, error)) {
			if r.Headers[0].Key == "gateway-digest" {
				done = f
				return
			}
			go f(0, dispatch.ErrRefused)
		}}
		s := fakeStore{}
		d := newDispatcher(t, &s, &p)
		in, releases := counted(inbound("evt-1"))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := d.Dispatch(ctx, in)
		requireCause(t, dispatch.ErrUnknown, err)
		require.Zero(t, releases.Load())
		go done(homeOffset, nil)
		d.close(t)
		require.EqualValues(t, 1, releases.Load())
		require.Len(t, s.confirmed(), 1)
	})
}
