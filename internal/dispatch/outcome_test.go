package dispatch_test

import (
	"cmp"
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/dispatch"
	"awareid-gateway/internal/event"
)

var errAway = errors.New("away")

// causes are all errors that a caller branches on.
var causes = []error{dispatch.ErrStore, dispatch.ErrInFlight, dispatch.ErrNotStored, dispatch.ErrUnknown, dispatch.ErrRefused}

// requireCause wants exactly one of the causes, or none for nil.
func requireCause(t *testing.T, want, err error) {
	t.Helper()
	if want == nil {
		require.NoError(t, err)
	}
	for _, cause := range causes {
		require.Equal(t, cause == want, errors.Is(err, cause), "%v, want %v", err, want)
	}
}

// firstOwner is where and from where a claim was made that is inherited.
var firstOwner = event.Claim{Place: event.Place{Topic: "old.topic", Partition: 9}, FromOffset: 40}

// answerClaim makes the store give one verdict on every claim.
func answerClaim(v event.Verdict) func(context.Context, event.Claim) (event.Claim, event.Verdict, error) {
	return func(_ context.Context, c event.Claim) (event.Claim, event.Verdict, error) {
		if v == event.Inherited {
			c.Place, c.FromOffset = firstOwner.Place, firstOwner.FromOffset
		}
		return c, v, nil
	}
}

func TestOutcomes(t *testing.T) {
	const found = 55
	inherited := answerClaim(event.Inherited)
	there := func(context.Context, event.Place, int64, []event.Header) (int64, bool, error) {
		return found, true, nil
	}
	notThere := func(context.Context, event.Place, int64, []event.Header) (int64, bool, error) { return 0, false, nil }
	unreadable := func(context.Context, event.Place, int64, []event.Header) (int64, bool, error) {
		return 0, false, errAway
	}
	here, old := home(topic), firstOwner.Place

	for name, tc := range map[string]struct {
		store    *fakeStore
		producer *fakeProducer

		want      dispatch.Outcome
		cause     error
		produced  []event.Place
		confirmed map[event.Place]int64
		released  int
	}{
		"granted": {
			want: dispatch.Accepted, produced: []event.Place{here},
			confirmed: map[event.Place]int64{here: homeOffset},
		},
		"delivered before": {store: &fakeStore{claim: answerClaim(event.Delivered)}, want: dispatch.Duplicate},
		"inherited, and the first owner wrote it": {
			store: &fakeStore{claim: inherited}, producer: &fakeProducer{find: there},
			want: dispatch.Duplicate, confirmed: map[event.Place]int64{old: found},
		},
		"inherited, and the first owner did not write it": {
			store: &fakeStore{claim: inherited}, producer: &fakeProducer{find: notThere},
			want: dispatch.Accepted, produced: []event.Place{old}, confirmed: map[event.Place]int64{old: homeOffset},
		},
		"inherited, and Kafka cannot be read": {
			store: &fakeStore{claim: inherited}, producer: &fakeProducer{find: unreadable}, cause: dispatch.ErrUnknown,
			released: 1,
		},
		"the store is away": {
			store: &fakeStore{claim: func(_ context.Context, c event.Claim) (event.Claim, event.Verdict, error) {
				return c, 0, errAway
			}},
			cause: dispatch.ErrStore, released: 1,
		},
		"no partition": {
			producer: &fakeProducer{place: func() error { return errAway }}, cause: dispatch.ErrNotStored,
		},
		"Kafka did not take it": {
			producer: &fakeProducer{append: answer(dispatch.ErrNotStored)},
			cause:    dispatch.ErrNotStored, produced: []event.Place{here}, released: 1,
		},
		"Kafka did not take it, and the claim cannot be given back": {
			store:    &fakeStore{release: func(context.Context, string, string) error { return errAway }},
			producer: &fakeProducer{append: answer(dispatch.ErrNotStored)},
			cause:    dispatch.ErrNotStored, produced: []event.Place{here}, released: 1,
		},
		"Kafka may have it": {
			producer: &fakeProducer{append: answer(dispatch.ErrUnknown)},
			cause:    dispatch.ErrUnknown, produced: []event.Place{here},
		},
		"Kafka refuses it": {
			producer: &fakeProducer{append: refuseEvents(nil)},
			want:     dispatch.Quarantined, produced: []event.Place{here, home(quarantine)}, released: 1,
			confirmed: map[event.Place]int64{home(quarantine): homeOffset},
		},
		"Kafka refuses it, and its quarantine record": {
			producer: &fakeProducer{append: answer(dispatch.ErrRefused)},
			cause:    dispatch.ErrRefused, produced: []event.Place{here, home(quarantine)}, released: 2,
		},
		"Kafka refuses it, and may have its quarantine record": {
			producer: &fakeProducer{append: refuseEvents(dispatch.ErrUnknown)},
			cause:    dispatch.ErrUnknown, produced: []event.Place{here, home(quarantine)}, released: 1,
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := cmp.Or(tc.store, &fakeStore{})
				p := cmp.Or(tc.producer, &fakeProducer{})
				d := newDispatcher(t, s, p)
				in, releases := counted(inbound("evt-1"))
				outcome, err := d.Dispatch(t.Context(), in)
				requireCause(t, tc.cause, err)
				require.Equal(t, tc.want, outcome)
				d.close(t)

				require.EqualValues(t, 1, releases.Load(), "the memory is released once")
				var produced []event.Place
				for _, a := range p.produced() {
					produced = append(produced, a.at)
				}
				require.Equal(t, tc.produced, produced)
				confirmed := map[event.Place]int64{}
				for _, done := range s.confirmed() {
					confirmed[done.Place] = done.Offset
				}
				require.Equal(t, len(tc.confirmed), len(confirmed))
				for at, offset := range tc.confirmed {
					require.Equal(t, offset, confirmed[at], at)
				}
				require.Len(t, s.released, tc.released)
			})
		})
	}
}

// refuseEvents makes the producer refuse events, and answer quarantine records
// with err.
func refuseEvents(err error) func(dispatch.Record, func(int64, error)) {
	return func(r dispatch.Record, done func(int64, error)) {
		if r.Headers[0].Key == "gateway-digest" {
			answer(err)(r, done)
			return
		}
		answer(dispatch.ErrRefused)(r, done)
	}
}

func TestWhatTheStoreIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s fakeStore
		var p fakeProducer
		d := newDispatcher(t, &s, &p)
		began := time.Now()
		for _, id := range []string{"evt-1", "evt-2"} {
			_, err := d.Dispatch(t.Context(), inbound(id))
			require.NoError(t, err)
		}
		d.close(t)

		require.Len(t, s.claims, 2)
		c := s.claims[0]
		require.NotEmpty(t, c.Token)
		require.NotEqual(t, c.Token, s.claims[1].Token, "each attempt has its own token")
		require.Equal(t, event.Claim{
			Key: webhook + "/evt-1", Token: c.Token, Replica: "gateway-1", Place: home(topic), FromOffset: homeEnd,
		}, c)
		require.Equal(t, event.Delivery{
			Key: c.Key, Token: c.Token, Offset: homeOffset, Place: home(topic), Keep: keep,
		}, s.confirmed()[0])
		require.Equal(t, began.Add(produceTimeout), p.produced()[0].deadline)
	})
}

func TestTokensOfTwoDispatchersDiffer(t *testing.T) {
	var s fakeStore
	for range 2 {
		d := newDispatcher(t, &s, &fakeProducer{})
		_, err := d.Dispatch(t.Context(), inbound("evt-1"))
		require.NoError(t, err)
		d.close(t)
	}
	require.NotEqual(t, s.claims[0].Token, s.claims[1].Token)
}

func TestReadingBackLooksForThisEventWhereItsFirstOwnerWrote(t *testing.T) {
	var looked int
	p := fakeProducer{find: func(_ context.Context, at event.Place, from int64, headers []event.Header) (int64, bool, error) {
		looked++
		require.Equal(t, firstOwner.Place, at)
		require.Equal(t, firstOwner.FromOffset, from)
		require.Equal(t, inbound("evt-1").Event.Identity(webhook), headers)
		return 41, true, nil
	}}
	s := fakeStore{claim: answerClaim(event.Inherited)}
	d := newDispatcher(t, &s, &p)
	_, err := d.Dispatch(t.Context(), inbound("evt-1"))
	require.NoError(t, err)
	d.close(t)
	require.Equal(t, 1, looked)
	require.Equal(t, 1, d.count(t, "gateway_claims_inherited_total"))
	require.Equal(t, s.claims[0].Token, s.confirmed()[0].Token, "the heir confirms under its own token")
}
