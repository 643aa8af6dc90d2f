package dispatch_test

import (
	"context"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/dispatch"
	"awareid-gateway/internal/event"
	"awareid-gateway/internal/spool"
)

// cutOff is a store that is away.
func cutOff(_ context.Context, c event.Claim) (event.Claim, event.Verdict, error) {
	return c, 0, errAway
}

// TestWhatComesAgainIsAnError where a callback has somewhere else to go.
func TestWhatComesAgainIsAnError(t *testing.T) {
	for name, tc := range map[string]struct {
		store    func(context.Context, event.Claim) (event.Claim, event.Verdict, error)
		append   func(dispatch.Record, func(int64, error))
		onOutage dispatch.OnOutage
		callback dispatch.Outcome
		cause    error
	}{
		"Kafka does not take it": {
			append: answer(dispatch.ErrNotStored), callback: dispatch.Spooled, cause: dispatch.ErrNotStored,
		},
		"nobody knows":      {append: answer(dispatch.ErrUnknown), callback: dispatch.Spooled, cause: dispatch.ErrUnknown},
		"the store is away": {store: cutOff, callback: dispatch.Spooled, cause: dispatch.ErrStore},
		"the store is away, and need not be asked": {
			store: cutOff, onOutage: dispatch.AcceptOnOutage, callback: dispatch.Accepted, cause: dispatch.ErrStore,
		},
		"Kafka refuses it, and quarantine is away": {
			append: refuseEvents(dispatch.ErrNotStored), callback: dispatch.Quarantined, cause: dispatch.ErrNotStored,
		},
	} {
		for _, origin := range []dispatch.Origin{dispatch.Callback, dispatch.Backfill, dispatch.Replay} {
			t.Run(name+", "+string(origin), func(t *testing.T) {
				p := fakeProducer{append: tc.append}
				d, log := newSpooling(t, &fakeStore{claim: tc.store}, &p, func(o *dispatch.Options) { o.OnOutage = tc.onOutage })
				in := of("op", "evt-1")
				in.Origin = origin
				outcome, err := d.Dispatch(t.Context(), in)
				if origin == dispatch.Callback {
					require.NoError(t, err)
					require.Equal(t, tc.callback, outcome)
					return
				}
				requireCause(t, tc.cause, err)
				require.Zero(t, log.Pending())
				if tc.store != nil {
					require.Empty(t, p.produced())
				}
				// The second time the store is known to be away.
				_, err = d.Dispatch(t.Context(), in)
				requireCause(t, tc.cause, err)
				require.Zero(t, log.Pending())
			})
		}
	}
}

// newSpooling is a dispatcher with a spool, which ends with the test.
func newSpooling(t *testing.T, s dispatch.Store, p dispatch.Producer, change ...func(*dispatch.Options)) (dispatcher, *spool.Log) {
	log, err := spool.Open(t.TempDir(), spool.Options{MaxBytes: 1 << 20, Log: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	d := newDispatcher(t, s, p, append(change, func(o *dispatch.Options) { o.Spool = log })...)
	t.Cleanup(func() {
		d.close(t)
		require.NoError(t, log.Close())
	})
	return d, log
}

// TestWhatIsFetchedWaitsForItsTurn, and not in a queue: an earlier callback of its
// operation is in this replica's spool, or in another one's.
func TestWhatIsFetchedWaitsForItsTurn(t *testing.T) {
	w := newWorld(t)
	dir := t.TempDir()
	var n fakeNumbers
	a, b := w.replica(t, dir), w.replica(t, t.TempDir(), tracking(&n))
	w.refuse.Store(true)
	require.Equal(t, dispatch.Spooled, a.post(t, of("op", "1")))
	fetched := numberedAs(of("op", "2"), "17")
	fetched.Origin = dispatch.Backfill
	requireFails := func(r replica) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
		defer cancel()
		_, err := r.Dispatch(ctx, fetched)
		requireCause(t, dispatch.ErrNotStored, err)
		require.ErrorContains(t, err, "earlier event")
	}
	requireFails(a)
	a.stop(t)
	w.refuse.Store(false)
	requireFails(b)
	require.Equal(t, dispatch.Accepted, b.post(t, of("free", "3")))
	require.Zero(t, b.spool.Pending())
	require.Empty(t, n.seen(), "the hole is still one")

	a = w.replica(t, dir)
	a.drained(t)
	require.Equal(t, dispatch.Accepted, b.post(t, fetched))
	ids := w.ids(t, 3)
	require.Equal(t, []string{"1", "2"}, slices.DeleteFunc(ids, func(id string) bool { return id == "3" }))
}

// TestTheCallersOwnEndIsNoOutage: a fetch that is cancelled is an error, and the
// store does not count as away for it.
func TestTheCallersOwnEndIsNoOutage(t *testing.T) {
	for _, origin := range []dispatch.Origin{dispatch.Backfill, dispatch.Replay} {
		t.Run(string(origin), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				s := fakeStore{claim: func(claiming context.Context, c event.Claim) (event.Claim, event.Verdict, error) {
					cancel()
					return c, event.Granted, claiming.Err()
				}}
				d, log := newSpooling(t, &s, &fakeProducer{}, func(o *dispatch.Options) { o.OnOutage = dispatch.AcceptOnOutage })
				in := of("op", "evt-1")
				in.Origin = origin
				_, err := d.Dispatch(ctx, in)
				require.ErrorIs(t, err, context.Canceled)
				require.Zero(t, log.Pending())
				require.Zero(t, d.count(t, "gateway_unchecked_total"))

				outcome, err := d.Dispatch(t.Context(), of("op", "evt-2"))
				require.NoError(t, err)
				require.Equal(t, dispatch.Accepted, outcome)
				require.Len(t, s.claims, 2, "the store was asked")
			})
		})
	}
}

// TestFetchedNumbersAreForBackfillToTell, who asked for them.
func TestFetchedNumbersAreForBackfillToTell(t *testing.T) {
	for origin, want := range map[dispatch.Origin][]event.Number{
		dispatch.Callback: {{Webhook: webhook, N: 17}},
		dispatch.Replay:   {{Webhook: webhook, N: 17}},
		dispatch.Backfill: nil,
	} {
		var n fakeNumbers
		d := newDispatcher(t, &fakeStore{}, &fakeProducer{}, tracking(&n))
		in := numberedAs(of("op", "evt-1"), "17")
		in.Origin = origin
		outcome, err := d.Dispatch(t.Context(), in)
		require.NoError(t, err)
		require.Equal(t, dispatch.Accepted, outcome)
		d.close(t)
		require.Equal(t, want, n.seen(), origin)
	}
}
