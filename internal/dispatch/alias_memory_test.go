package dispatch_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/dispatch"
)

// oneOf is the event of these tests, in an operation.
func oneOf(operation, id string) dispatch.Inbound {
	return fetchedAs(numberedAs(of(operation, id), "17"))
}

// TestFetchedWhileItsCallbackIsSpooled on another replica, under another id.
func TestFetchedWhileItsCallbackIsSpooled(t *testing.T) {
	w := newWorld(t)
	a := w.replica(t, t.TempDir(), tracking(new(fakeNumbers)))
	b := w.replica(t, t.TempDir(), tracking(new(fakeNumbers)))
	w.refuse.Store(true)
	require.Equal(t, dispatch.Spooled, a.post(t, oneOf("op", "evt-1")))
	_, err := b.Dispatch(t.Context(), oneOf("op", "evt-2"))
	requireCause(t, dispatch.ErrNotStored, err)
	require.Equal(t, dispatch.Spooled, b.post(t, of("op", "evt-3")))
	w.refuse.Store(false)
	a.drained(t)
	b.drained(t)
	require.Equal(t, dispatch.Duplicate, b.post(t, oneOf("op", "evt-2")))
	require.Equal(t, []string{"evt-1", "evt-3"}, w.ids(t, 2))
	require.Equal(t, 2, stored(w.cluster, topic))
}

// TestAliasesAreRestored although another id has claimed the number by then.
func TestAliasesAreRestored(t *testing.T) {
	w := newWorld(t)
	change := func(o *dispatch.Options) { o.Numbers = new(fakeNumbers) }
	r := w.replica(t, t.TempDir(), change)
	require.Equal(t, dispatch.Accepted, r.post(t, oneOf("op", "evt-1")))
	r.stop(t)

	w.redis.FlushAll()
	r = w.replica(t, t.TempDir(), change)
	other := oneOf("op", "evt-2")
	c := claimOf(other)
	_, _, err := r.store.Claim(t.Context(), c, terms)
	require.NoError(t, err)
	require.NoError(t, r.store.Release(t.Context(), c.Key, c.Token))
	require.NoError(t, r.AwaitMemory(t.Context()))
	require.Equal(t, dispatch.Duplicate, r.post(t, other))
	require.Equal(t, dispatch.Duplicate, r.post(t, oneOf("op", "evt-1")))
	require.Equal(t, 1, stored(w.cluster, topic))
}

func TestAnOldEventIsLookedForByItsNumber(t *testing.T) {
	w := newWorld(t)
	r := w.replica(t, t.TempDir(), tracking(new(fakeNumbers)))
	old := oneOf("op", "evt-1")
	old.Event.Created = time.Now().Add(-2 * keep)
	old.Origin = dispatch.Backfill
	require.Equal(t, dispatch.Accepted, r.post(t, old))
	r.stop(t)

	w.redis.FlushAll() // as after the time to keep
	r = w.replica(t, t.TempDir(), tracking(new(fakeNumbers)))
	again := oneOf("op", "evt-2")
	again.Event.Created, again.Origin = old.Event.Created, dispatch.Backfill
	require.NoError(t, r.AwaitMemory(t.Context()))
	w.redis.Del("awareid:alias:" + again.Event.AliasKey(webhook))
	require.Equal(t, dispatch.Duplicate, r.post(t, again))
	require.Equal(t, 1, stored(w.cluster, topic))
}

func TestAReplayUnderAnotherID(t *testing.T) {
	w := newWorld(t)
	r := w.replica(t, t.TempDir(), tracking(new(fakeNumbers)))
	first := oneOf("op", "evt-1")
	first.Origin = dispatch.Backfill
	require.Equal(t, dispatch.Accepted, r.post(t, first))
	for _, origin := range []dispatch.Origin{dispatch.Replay, dispatch.Backfill, dispatch.Callback} {
		in := oneOf("op", "evt-2")
		in.Origin = origin
		require.Equal(t, dispatch.Duplicate, r.post(t, in))
	}
	require.Equal(t, 1, stored(w.cluster, topic))
}
