package dispatch

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/event"
)

// board is a roster in memory, by a clock of its own, that single replicas can
// be cut off from.
type board struct {
	mu     sync.Mutex
	ahead  time.Duration // of the replicas' clock
	leases map[string]time.Time
	cut    map[string]bool
	slow   time.Duration // the way back
}

func newBoard() *board {
	return &board{ahead: 42 * time.Minute, leases: map[string]time.Time{}, cut: map[string]bool{}}
}

func (b *board) now() time.Time { return time.Now().Add(b.ahead) }

func (b *board) Attend(_ context.Context, who string, until time.Time) (r event.Roster, err error) {
	defer time.Sleep(b.slow)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.cut[who] {
		return r, errors.New("cut off")
	}
	_, r.Knew = b.leases[who]
	if until.After(b.leases[who]) {
		b.leases[who] = until
	}
	r.Now = b.now()
	for id, end := range b.leases {
		switch {
		case id == who:
		case !end.After(r.Now):
			r.Absent = append(r.Absent, id)
		default:
			r.Present = append(r.Present, id)
			if r.FirstEnd.IsZero() || end.Before(r.FirstEnd) {
				r.FirstEnd = end
			}
		}
	}
	return r, nil
}

func (b *board) Dismiss(_ context.Context, who []string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, id := range who {
		delete(b.leases, id)
	}
	return nil
}

func (b *board) Leave(ctx context.Context, who string) error {
	if b.isCut(who) {
		return errors.New("cut off")
	}
	return b.Dismiss(ctx, []string{who})
}

func (b *board) isCut(who string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.cut[who]
}

func (b *board) setCut(who string, cut bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.cut[who] = cut
}

func (b *board) who() (ids []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for id := range b.leases {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// note is what outlives a replica.
type note struct{ said atomic.Bool }

func (n *note) SetFarewell(said bool) error {
	n.said.Store(said)
	return nil
}

// attendant attends as a replica with everything published, unless told so.
func attendant(t *testing.T, b *board, who string) (a *attendance, published *atomic.Bool) {
	a, published, _ = successor(t, b, who, 0)
	return a, published
}

// successor is an attendant that an earlier run's promise binds.
func successor(t *testing.T, b *board, who string, bound time.Duration) (a *attendance, published *atomic.Bool, said *note) {
	published, said = new(atomic.Bool), new(note)
	published.Store(true)
	said.said.Store(bound == dismissAfter)
	a = newAttendance(b, who, said, bound, slog.New(slog.DiscardHandler))
	a.prepare = func(context.Context) error { return nil }
	a.promise = func(extend func() time.Time) time.Time {
		if !published.Load() {
			return time.Time{}
		}
		return extend()
	}
	a.failed = func(context.Context, error) {}
	a.start()
	synctest.Wait()
	return a, published, said
}

func TestNobodyDeliversWhileSomebodyMaySpoolInSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		world := newBoard()
		a, _ := attendant(t, world, "a")
		b, _ := attendant(t, world, "b")
		defer b.close(t.Context())
		defer a.close(t.Context())
		time.Sleep(beatEvery + beatEvery/2)
		require.True(t, a.clear(t.Context()))
		require.True(t, b.clear(t.Context()))

		world.setCut("a", true)
		for range 400 { // for 4 s, look at both sides
			silent := a.remaining() <= 0
			require.False(t, silent && b.clear(t.Context()), "a answers for what b does not see, and b delivers")
			time.Sleep(10 * time.Millisecond)
		}
		require.LessOrEqual(t, a.remaining(), time.Duration(0), "it does not wait for ever")
		require.False(t, a.clear(t.Context()))

		world.setCut("a", false)
		time.Sleep(3 * beatEvery)
		require.True(t, a.clear(t.Context()))
		require.True(t, b.clear(t.Context()))
	})
}

func TestWhatIsNotPublishedEndsTheLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		world := newBoard()
		a, published := attendant(t, world, "a")
		b, _ := attendant(t, world, "b")
		defer b.close(t.Context())
		defer a.close(t.Context())
		published.Store(false)
		time.Sleep(attendFor + beatEvery + beatEvery/2)
		require.False(t, b.clear(t.Context()), "it can be reached, and has not told everything")
		require.LessOrEqual(t, a.remaining(), time.Duration(0))
		published.Store(true)
		time.Sleep(3 * beatEvery)
		require.True(t, b.clear(t.Context()))
	})
}

func TestTheAbsentAreDismissed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		world := newBoard()
		a, _ := attendant(t, world, "a")
		b, _ := attendant(t, world, "b")
		defer b.close(t.Context())
		world.setCut("a", true)
		a.close(t.Context()) // cannot leave
		require.Equal(t, []string{"a", "b"}, world.who())

		time.Sleep(beatEvery / 2) // look between the beats
		time.Sleep(dismissAfter)
		require.False(t, b.clear(t.Context()))
		world.setCut("b", true) // whoever sees nothing cannot wait for anybody
		time.Sleep(2 * beatEvery)
		world.setCut("b", false)
		time.Sleep(dismissAfter)
		require.False(t, b.clear(t.Context()))
		time.Sleep(3 * beatEvery)
		require.True(t, b.clear(t.Context()))
		require.Equal(t, []string{"b"}, world.who())
	})
}

// A store that has lost its memory does not know of a replica that is cut off.
func TestTheForgottenAreWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		world := newBoard()
		a, _ := attendant(t, world, "a")
		b, _ := attendant(t, world, "b")
		defer b.close(t.Context())
		defer a.close(t.Context())
		time.Sleep(beatEvery + beatEvery/2)
		require.True(t, b.clear(t.Context()))

		world.setCut("a", true)
		require.NoError(t, world.Dismiss(t.Context(), []string{"a", "b"}))
		b.forgotten()
		require.False(t, b.clear(t.Context()), "at once")
		time.Sleep(attendFor)
		require.False(t, b.clear(t.Context()))
		world.setCut("a", false)
		time.Sleep(3 * beatEvery)
		require.True(t, b.clear(t.Context()))

		world.setCut("a", true)
		require.NoError(t, world.Dismiss(t.Context(), []string{"a", "b"}))
		b.forgotten()
		time.Sleep(dismissAfter - beatEvery)
		require.False(t, b.clear(t.Context()))
		time.Sleep(4 * beatEvery)
		require.True(t, b.clear(t.Context()), "it may be gone for good")
	})
}

// The store can lose its memory between the question what it remembers and the
// one who is there.
func TestAnEmptyRosterIsNoNews(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		world := newBoard()
		a, _ := attendant(t, world, "a")
		b, _ := attendant(t, world, "b")
		defer b.close(t.Context())
		time.Sleep(2 * beatEvery)
		world.setCut("a", true)
		require.NoError(t, world.Dismiss(t.Context(), []string{"a", "b"}))
		time.Sleep(attendFor + 2*beatEvery)
		require.False(t, b.clear(t.Context()), "a may spool in silence by now")
		b.forgotten()
		time.Sleep(2 * beatEvery)
		require.False(t, b.clear(t.Context()))
		world.setCut("a", false)
		time.Sleep(4 * beatEvery)
		require.True(t, b.clear(t.Context()))
		a.close(t.Context())
		time.Sleep(2 * beatEvery)
		require.True(t, b.clear(t.Context()), "who leaves is not expected")
	})
}

func TestWhoStopsLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		world := newBoard()
		a, _ := attendant(t, world, "a")
		b, published := attendant(t, world, "b")
		time.Sleep(beatEvery)
		a.close(t.Context())
		require.Equal(t, []string{"b"}, world.who())
		published.Store(false)
		b.close(t.Context())
		require.Equal(t, []string{"b"}, world.who(), "the others are to wait for what it has not published")
	})
}

func TestTimesAreTheStores(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		world := newBoard()
		a, _ := attendant(t, world, "a")
		defer a.close(t.Context())
		at := time.Now().Add(-3 * time.Second)
		require.Equal(t, at.Add(world.ahead).UnixNano(), a.inStoreTime(at).UnixNano())
	})
}

// A store that answers slowly tells its time badly. An event must not be answered
// for with a time that is still to come: what follows would get an earlier one.
func TestATimeThatIsStillToComeIsAwaited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		world := newBoard()
		world.slow = 800 * time.Millisecond
		a, _ := attendant(t, world, "a")
		defer a.close(t.Context())
		require.Zero(t, a.until(time.Now().Add(time.Hour)), "no answer yet")
		time.Sleep(beatTimeout)
		at := a.inStoreTime(time.Now())
		wait := a.until(at)
		require.Equal(t, world.slow, wait)
		time.Sleep(wait)
		require.False(t, world.now().Before(at))
		require.Zero(t, a.until(at))
	})
}

// Others may rely on a lease, or a farewell, of the run before.
func TestASuccessorIsBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		world := newBoard()
		world.setCut("a", true)
		a, _, _ := successor(t, world, "a", dismissAfter)
		defer a.close(t.Context())
		require.Equal(t, dismissAfter, a.remaining())
		world.setCut("a", false)
		time.Sleep(2 * beatEvery)
		require.LessOrEqual(t, a.remaining(), attendFor, "the others hear of it")
	})
}

func TestWhoLeavesOthersSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		world := newBoard()
		alone, _, said := successor(t, world, "a", 0)
		alone.close(t.Context())
		require.False(t, said.said.Load(), "there is nobody to rely on it")

		a, _, said := successor(t, world, "a", 0)
		b, _, saidB := successor(t, world, "b", 0)
		time.Sleep(2 * beatEvery)
		world.setCut("b", true)
		time.Sleep(2 * beatEvery)
		b.close(t.Context())
		require.False(t, saidB.said.Load(), "nobody would hear it")
		a.close(t.Context())
		require.True(t, said.said.Load())

		world.setCut("a", true)
		a, _, said = successor(t, world, "a", dismissAfter)
		defer a.close(t.Context())
		require.True(t, said.said.Load())
		world.setCut("a", false)
		time.Sleep(2 * beatEvery)
		require.False(t, said.said.Load())
	})
}
