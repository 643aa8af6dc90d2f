package dispatch_test

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/dispatch"
	"awareid-gateway/internal/event"
	"awareid-gateway/internal/spool"
)

// fakeNumbers notes what it is told, unless its function says otherwise.
type fakeNumbers struct {
	see func(ctx context.Context) error

	mu      sync.Mutex
	batches [][]event.Number
}

func (f *fakeNumbers) See(ctx context.Context, seen []event.Number) error {
	if f.see != nil {
		if err := f.see(ctx); err != nil {
			return err
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.batches = append(f.batches, slices.Clone(seen))
	return nil
}

func (f *fakeNumbers) seen() []event.Number {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Concat(f.batches...)
}

func tracking(n dispatch.Numbers) func(*dispatch.Options) {
	return func(o *dispatch.Options) { o.Numbers = n }
}

// numberedAs gives an event a transaction number.
func numberedAs(in dispatch.Inbound, number string) dispatch.Inbound {
	in.Event.TransactionNum = number
	return in
}

func TestWhatIsSeen(t *testing.T) {
	for name, tc := range map[string]struct {
		verdict event.Verdict // on the claim; 0: granted
		kafka   func(dispatch.Record, func(int64, error))
		number  string
		cause   error
		seen    bool
		without int
	}{
		"accepted":                     {number: "17", seen: true},
		"written another way":          {number: "0017", seen: true},
		"a duplicate":                  {verdict: event.Delivered, number: "17", seen: true},
		"refused and in quarantine":    {kafka: refuseEvents(nil), number: "17", seen: true},
		"not taken":                    {kafka: answer(dispatch.ErrNotStored), number: "17", cause: dispatch.ErrNotStored},
		"nobody knows":                 {kafka: answer(dispatch.ErrUnknown), number: "17", cause: dispatch.ErrUnknown},
		"accepted without a number":    {without: 1},
		"accepted with another kind":   {number: "A7", without: 1},
		"accepted with too large one":  {number: "9007199254740992", without: 1},
		"a duplicate without a number": {verdict: event.Delivered},
	} {
		t.Run(name, func(t *testing.T) {
			var n fakeNumbers
			s, p := fakeStore{claim: answerClaim(cmp.Or(tc.verdict, event.Granted))}, fakeProducer{append: tc.kafka}
			d := newDispatcher(t, &s, &p, tracking(&n))
			_, err := d.Dispatch(t.Context(), numberedAs(inbound("evt-1"), tc.number))
			requireCause(t, tc.cause, err)
			d.close(t)
			var want []event.Number
			if tc.seen {
				want = []event.Number{{Webhook: webhook, N: 17}}
			}
			require.Equal(t, want, n.seen())
			require.Equal(t, tc.without, d.countOf(t, "gateway_events_without_number_total"))
		})
	}
}

// countOf is count for a metric with labels, which is not there while it is 0.
func (d dispatcher) countOf(t *testing.T, name string) int {
	families, err := d.metrics.Gather()
	require.NoError(t, err)
	for _, f := range families {
		if f.GetName() == name {
			return d.count(t, name)
		}
	}
	return 0
}

func TestNothingIsTrackedUnlessItIsAskedFor(t *testing.T) {
	var s fakeStore
	d := newDispatcher(t, &s, &fakeProducer{})
	_, err := d.Dispatch(t.Context(), inbound("evt-1"))
	require.NoError(t, err)
	_, err = d.Dispatch(t.Context(), numberedAs(inbound("evt-2"), "17"))
	require.NoError(t, err)
	d.close(t)
	require.Empty(t, s.claims[1].Alias)
	require.Zero(t, d.countOf(t, "gateway_events_without_number_total"))
}

func TestNumbersShareRoundTripsAndHoldNobodyUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		n := fakeNumbers{see: func(context.Context) error { <-gate; return nil }}
		d := newDispatcher(t, &fakeStore{}, &fakeProducer{}, tracking(&n))
		began := time.Now()
		for i := range 1200 {
			_, err := d.Dispatch(t.Context(), numberedAs(inbound(fmt.Sprint("evt-", i)), strconv.Itoa(i)))
			require.NoError(t, err)
		}
		require.Zero(t, time.Since(began))
		close(gate)
		d.close(t)

		seen := map[uint64]bool{}
		for _, number := range n.seen() {
			seen[number.N] = true
		}
		require.Len(t, seen, 1200)
		require.LessOrEqual(t, len(n.batches), 4)
		require.Zero(t, d.count(t, "gateway_numbers_forgotten_total"))
	})
}

// leave leaves an entry in a spool.
func leave(t *testing.T, dir string, body []byte) {
	log, err := spool.Open(dir, spool.Options{MaxBytes: 1 << 20, Log: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	_, err = log.Append(t.Context(), body)
	require.NoError(t, err)
	require.NoError(t, log.Close())
}

func TestANumberOutlastsAShortAbsenceOfTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		back := time.Now().Add(40 * time.Second)
		n := fakeNumbers{see: func(context.Context) error {
			if time.Now().Before(back) {
				return errAway
			}
			return nil
		}}
		d := newDispatcher(t, &fakeStore{}, &fakeProducer{}, tracking(&n))
		_, err := d.Dispatch(t.Context(), numberedAs(inbound("evt-1"), "17"))
		require.NoError(t, err)
		time.Sleep(41 * time.Second)
		require.Equal(t, []event.Number{{Webhook: webhook, N: 17}}, n.seen())
		d.close(t)
	})
}

func TestANumberIsForgottenAfterALongAbsence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := fakeNumbers{see: func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		}}
		d := newDispatcher(t, &fakeStore{}, &fakeProducer{}, tracking(&n))
		_, err := d.Dispatch(t.Context(), numberedAs(inbound("evt-1"), "17"))
		require.NoError(t, err)
		time.Sleep(2 * time.Minute)
		require.Equal(t, 1, d.count(t, "gateway_numbers_forgotten_total"))
		d.close(t)
		require.Equal(t, 1, d.count(t, "gateway_numbers_forgotten_total"))
	})
}

// TestCloseDoesNotWaitForNumbers that the store cannot be told: no event is lost
// with them.
func TestCloseDoesNotWaitForNumbers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := fakeNumbers{see: func(context.Context) error { return errAway }}
		d := newDispatcher(t, &fakeStore{}, &fakeProducer{}, tracking(&n))
		for i := range 3 {
			_, err := d.Dispatch(t.Context(), numberedAs(inbound(fmt.Sprint("evt-", i)), strconv.Itoa(i)))
			require.NoError(t, err)
		}
		began := time.Now()
		require.NoError(t, d.Close(t.Context()))
		require.LessOrEqual(t, time.Since(began), 3*time.Second)
		require.Equal(t, 3, d.count(t, "gateway_numbers_forgotten_total"))
	})
}

func TestNumbersAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit = 1 << 16
		gate := make(chan struct{})
		n := fakeNumbers{see: func(context.Context) error { <-gate; return nil }}
		p := fakeProducer{append: func(_ dispatch.Record, done func(int64, error)) { done(homeOffset, nil) }}
		d := newDispatcher(t, &fakeStore{}, &p, tracking(&n))
		in := numberedAs(inbound("evt"), "17")
		for range limit + 2000 {
			if _, err := d.Dispatch(t.Context(), in); err != nil {
				t.Fatal(err)
			}
		}
		close(gate)
		d.close(t)
		require.InDelta(t, limit, len(n.seen()), 1000)
		require.Equal(t, limit+2000, len(n.seen())+d.count(t, "gateway_numbers_forgotten_total"))
	})
}

// TestASpooledNumberIsSeen at once, and again when it is delivered: in between
// another process may have taken over the spool.
func TestASpooledNumberIsSeen(t *testing.T) {
	w := newWorld(t)
	dir := t.TempDir()
	var before, after fakeNumbers
	r := w.replica(t, dir, tracking(&before))
	w.refuse.Store(true)
	require.Equal(t, dispatch.Spooled, r.post(t, numberedAs(of("op", "evt-1"), "17")))
	require.Equal(t, dispatch.Spooled, r.post(t, of("op", "evt-2")))
	r.stop(t)
	want := []event.Number{{Webhook: webhook, N: 17}}
	require.Equal(t, want, before.seen())
	require.Equal(t, 1, r.count(t, "gateway_events_without_number_total"))

	w.refuse.Store(false)
	r = w.replica(t, dir, tracking(&after))
	r.drained(t)
	r.stop(t)
	require.Equal(t, want, after.seen())
	require.Zero(t, r.countOf(t, "gateway_events_without_number_total"), "it was counted when it came")
}

// TestAnOldSpoolEntry was written by a version that knew of no numbers.
func TestAnOldSpoolEntry(t *testing.T) {
	old, err := os.ReadFile("testdata/parcel-1.json")
	require.NoError(t, err)
	w := newWorld(t)
	dir := t.TempDir()
	leave(t, dir, old)
	var n fakeNumbers
	r := w.replica(t, dir, tracking(&n))
	r.drained(t)
	r.stop(t)
	require.Equal(t, []string{"evt-1"}, w.ids(t, 1))
	require.Empty(t, n.seen())
}
