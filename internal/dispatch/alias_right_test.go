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

// aka answers claims as a store in which the number belongs to evt-1.
func aka(own, first event.Verdict) func(context.Context, event.Claim) (event.Claim, event.Verdict, error) {
	return func(ctx context.Context, c event.Claim) (event.Claim, event.Verdict, error) {
		if c.Alias == "" {
			return answerClaim(first)(ctx, c)
		}
		c.AliasOf, c.Queued = webhook+"/evt-1", false
		return c, own, nil
	}
}

func TestTheRightToProduceHasTwoNames(t *testing.T) {
	here, old := home(topic), firstOwner.Place
	for name, tc := range map[string]struct {
		claim     func(context.Context, event.Claim) (event.Claim, event.Verdict, error)
		find      func(context.Context, event.Place, int64, []event.Header) (int64, bool, error)
		append    func(dispatch.Record, func(int64, error))
		want      dispatch.Outcome
		cause     error
		produced  []event.Place
		confirmed []string // ids
		released  []string
	}{
		"both are granted": {
			claim: aka(event.Granted, event.Granted), want: dispatch.Accepted, produced: []event.Place{here},
			confirmed: []string{"evt-2", "evt-1"},
		},
		"the first is inherited": {
			claim: aka(event.Granted, event.Inherited), find: notThere, want: dispatch.Accepted,
			produced: []event.Place{old}, confirmed: []string{"evt-2", "evt-1"},
		},
		"the first is inherited, and was written": {
			claim: aka(event.Granted, event.Inherited), find: there, want: dispatch.Duplicate, confirmed: []string{"evt-2", "evt-1"},
		},
		"the first is inherited, and Kafka cannot be read": {
			claim: aka(event.Granted, event.Inherited), find: unreadable, cause: dispatch.ErrUnknown, released: []string{"evt-2", "evt-1"},
		},
		"the first is delivered": {
			claim: aka(event.Granted, event.Delivered), want: dispatch.Duplicate, confirmed: []string{"evt-2"},
		},
		"the first is in flight": {
			claim: aka(event.Granted, event.Busy), cause: dispatch.ErrInFlight, released: []string{"evt-2", "evt-1"},
		},
		"the own one is delivered": {claim: aka(event.Delivered, 0), want: dispatch.Duplicate},
		"the own one is in flight": {claim: aka(event.Busy, 0), cause: dispatch.ErrInFlight},
		"the store goes away in between": {
			claim: func(ctx context.Context, c event.Claim) (event.Claim, event.Verdict, error) {
				if c.Alias == "" {
					return event.Claim{}, 0, errAway
				}
				return aka(event.Granted, 0)(ctx, c)
			},
			cause: dispatch.ErrStore, released: []string{"evt-2", "evt-1"},
		},
		"Kafka did not take it": {
			claim: aka(event.Granted, event.Granted), append: answer(dispatch.ErrNotStored), cause: dispatch.ErrNotStored,
			produced: []event.Place{here}, released: []string{"evt-2", "evt-1"},
		},
		"Kafka may have it": {
			claim: aka(event.Granted, event.Granted), append: answer(dispatch.ErrUnknown), cause: dispatch.ErrUnknown,
			produced: []event.Place{here},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, p := fakeStore{claim: tc.claim}, fakeProducer{find: tc.find, append: tc.append}
				d := tracked(t, &s, &p)
				ctx, cancel := context.WithTimeout(t.Context(), produceTimeout)
				defer cancel()
				outcome, err := d.Dispatch(ctx, one("evt-2"))
				requireCause(t, tc.cause, err)
				require.Equal(t, tc.want, outcome)
				d.close(t)

				var produced []event.Place
				for _, a := range p.produced() {
					produced = append(produced, a.at)
				}
				require.Equal(t, tc.produced, produced)
				var confirmed []string
				for _, done := range s.confirmed() {
					confirmed = append(confirmed, done.Key[len(webhook)+1:])
				}
				require.Equal(t, tc.confirmed, confirmed)
				var released []string
				for _, key := range s.released {
					released = append(released, key[len(webhook)+1:])
				}
				require.Equal(t, tc.released, released)
				for _, c := range s.claims {
					require.Equal(t, s.claims[0].Token, c.Token, "one attempt has one token")
				}
			})
		})
	}
}

func there(context.Context, event.Place, int64, []event.Header) (int64, bool, error) {
	return homeOffset, true, nil
}

func notThere(context.Context, event.Place, int64, []event.Header) (int64, bool, error) {
	return 0, false, nil
}

func unreadable(context.Context, event.Place, int64, []event.Header) (int64, bool, error) {
	return 0, false, errAway
}

// TestAnyTraceOfTheEventCounts: the former owner may have come under any id.
func TestAnyTraceOfTheEventCounts(t *testing.T) {
	first := one("evt-1").Event
	for name, trace := range map[string][]event.Header{
		"its id":       one("evt-2").Event.Identity(webhook),
		"its number":   one("evt-9").Event.AliasIdentity(webhook),
		"the other id": first.Identity(webhook),
	} {
		t.Run(name, func(t *testing.T) {
			s := fakeStore{claim: aka(event.Granted, event.Inherited)}
			p := fakeProducer{find: func(ctx context.Context, at event.Place, from int64, h []event.Header) (int64, bool, error) {
				require.Equal(t, firstOwner.Place, at)
				require.Equal(t, firstOwner.FromOffset, from)
				if h[0].Key == trace[0].Key && string(h[0].Value) == string(trace[0].Value) {
					return there(ctx, at, from, h)
				}
				<-ctx.Done() // a search that is not needed any more ends
				return 0, false, ctx.Err()
			}, findSince: notSince}
			d := tracked(t, &s, &p)
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			outcome, err := d.Dispatch(ctx, one("evt-2"))
			require.NoError(t, err)
			require.Equal(t, dispatch.Duplicate, outcome)
			d.close(t)
			require.Empty(t, p.produced())
		})
	}
}

func notSince(context.Context, event.Place, time.Time, []event.Header) (int64, bool, error) {
	return 0, false, nil
}
