package spool_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/spool"
)

// gate is a disk that holds up each group until it is let through.
type gate struct {
	*disk
	arrived chan struct{}
	open    chan error
}

func newGate() *gate {
	g := &gate{disk: newDisk(), arrived: make(chan struct{}), open: make(chan error)}
	g.fault = func(_ *os.File, _ []byte, offset int64) error {
		if isHeader(offset) {
			return nil
		}
		g.arrived <- struct{}{}
		return <-g.open
	}
	return g
}

// begin appends in the background, and returns once the group is held up.
func (g *gate) begin(t *testing.T, l *spool.Log, body string) <-chan error {
	t.Helper()
	result := appendLater(t.Context(), l, body)
	<-g.arrived
	return result
}

func appendLater(ctx context.Context, l *spool.Log, body string) <-chan error {
	result := make(chan error, 1)
	go func() {
		_, err := l.Append(ctx, []byte(body))
		result <- err
	}()
	return result
}

func TestAppendsShareSyncs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		g := newGate()
		l := openOn(t, g.disk, t.TempDir(), options())
		results := []<-chan error{g.begin(t, l, "first")}
		for i := range 63 {
			results = append(results, appendLater(t.Context(), l, body(i)))
		}
		synctest.Wait()
		g.open <- nil
		<-g.arrived
		g.open <- nil
		for _, result := range results {
			require.NoError(t, <-result)
		}
		require.Equal(t, 3, g.puts, "the segment, the first entry, and all that came meanwhile")
		require.Equal(t, 64, l.Pending())
		require.Zero(t, time.Since(began), "nobody waits for company")
	})
}

func TestAGroupThatFailsFailsForAllOfIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		l := openOn(t, g.disk, t.TempDir(), options())
		first := g.begin(t, l, "first")
		var results []<-chan error
		for i := range 5 {
			results = append(results, appendLater(t.Context(), l, body(i)))
		}
		synctest.Wait()
		g.open <- nil
		require.NoError(t, <-first)
		<-g.arrived
		g.open <- errors.New("no more")
		for _, result := range results {
			require.ErrorContains(t, <-result, "no more")
		}
		require.Equal(t, []string{"first"}, drain(t, l))
	})
}

func TestAppendIsGivenUp(t *testing.T) {
	g := newGate()
	l := openOn(t, g.disk, t.TempDir(), options())
	ctx, cancel := context.WithCancel(t.Context())
	_, err := l.Append(ended(t), []byte("too late"))
	require.ErrorIs(t, err, context.Canceled)

	result := appendLater(ctx, l, "written nevertheless")
	<-g.arrived
	cancel()
	require.ErrorIs(t, <-result, context.Canceled)
	g.open <- nil
	require.Equal(t, []string{"written nevertheless"}, contents(take(t, l, 1)))
}

func ended(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}

func TestAllIsDoneWhileAGroupIsOnItsWay(t *testing.T) {
	for title, outcome := range map[string]error{"it succeeds": nil, "it fails": errors.New("no")} {
		t.Run(title, func(t *testing.T) {
			dir, g := t.TempDir(), newGate()
			l := openOn(t, g.disk, dir, options())
			first := g.begin(t, l, body(0))
			g.open <- nil
			require.NoError(t, <-first)

			second := g.begin(t, l, body(1))
			require.Equal(t, bodies(0, 1), drain(t, l))
			require.Len(t, snapshot(t, dir), 1, "it is being written to")
			g.open <- outcome
			require.ErrorIs(t, <-second, outcome)
			if outcome == nil {
				require.Equal(t, bodies(1, 2), drain(t, l))
			}
			require.Empty(t, snapshot(t, dir))
			require.Zero(t, l.Bytes())
		})
	}
}

func TestCloseWaitsForTheGroupOnItsWay(t *testing.T) {
	dir, g := t.TempDir(), newGate()
	l := openOn(t, g.disk, dir, options())
	acknowledged := g.begin(t, l, "on its way")
	waiting := make(chan error, 1)
	go func() {
		_, err := l.Next(t.Context())
		waiting <- err
	}()
	closed := make(chan error, 1)
	go func() { closed <- l.Close() }()
	require.ErrorIs(t, <-waiting, spool.ErrClosed)

	_, err := spool.Open(dir, options())
	require.ErrorIs(t, err, spool.ErrLocked)
	require.Empty(t, closed)
	g.open <- nil
	require.NoError(t, <-acknowledged)
	require.NoError(t, <-closed)
	require.Equal(t, []string{"on its way"}, drain(t, open(t, dir, options())))
}

func TestManyAppendOneReads(t *testing.T) {
	const workers, each = 16, 60
	for form, key := range keys {
		t.Run(form, func(t *testing.T) {
			dir := t.TempDir()
			opts := sealedOptions(key)
			opts.SegmentBytes = 2000
			l := open(t, dir, opts)
			var appending sync.WaitGroup
			for worker := range workers {
				appending.Go(func() {
					for i := range each {
						sequence, err := l.Append(t.Context(), fmt.Appendf(nil, "%d %d", worker, i))
						if err != nil {
							t.Errorf("append %d: %v", sequence, err)
						}
					}
				})
			}
			next := [workers]int{}
			for sequence := range uint64(workers * each) {
				e := take(t, l, 1)[0]
				var worker, i int
				_, err := fmt.Sscanf(string(e.Body), "%d %d", &worker, &i)
				require.NoError(t, err)
				require.Equal(t, sequence, e.Sequence)
				require.Equal(t, next[worker], i, "in the order of each worker")
				next[worker]++
				require.NoError(t, l.Done(e.Sequence))
			}
			appending.Wait()
			require.Zero(t, l.Pending())
			require.Empty(t, snapshot(t, dir))
			require.Zero(t, l.Bytes())
		})
	}
}

func TestNextWaits(t *testing.T) {
	for title, tc := range map[string]struct {
		wake func(t *testing.T, l *spool.Log, cancel context.CancelFunc)
		err  error
	}{
		"for an entry":    {func(t *testing.T, l *spool.Log, _ context.CancelFunc) { add(t, l, body(0)) }, nil},
		"for the end":     {func(t *testing.T, l *spool.Log, _ context.CancelFunc) { require.NoError(t, l.Close()) }, spool.ErrClosed},
		"for the context": {func(_ *testing.T, _ *spool.Log, cancel context.CancelFunc) { cancel() }, context.Canceled},
	} {
		t.Run(title, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := open(t, t.TempDir(), options())
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				got := make(chan error, 1)
				go func() {
					e, err := l.Next(ctx)
					if err == nil && string(e.Body) != body(0) {
						err = fmt.Errorf("got %q", e.Body)
					}
					got <- err
				}()
				synctest.Wait()
				require.Empty(t, got, "there is nothing yet")
				tc.wake(t, l, cancel)
				require.ErrorIs(t, <-got, tc.err)
			})
		})
	}
}

func TestNextHeedsAContextThatEnded(t *testing.T) {
	l := open(t, t.TempDir(), options())
	add(t, l, body(0))
	_, err := l.Next(ended(t))
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, bodies(0, 1), drain(t, l), "nothing was passed over")
}
