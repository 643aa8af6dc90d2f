package batch_test

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/batch"
)

// gate is a run function that tells of each group and waits to be let through.
type gate struct {
	groups chan []int
	open   chan error
}

func newGate() *gate {
	return &gate{groups: make(chan []int), open: make(chan error)}
}

func (g *gate) run(_ context.Context, items []int) ([]int, error) {
	g.groups <- items
	if err := <-g.open; err != nil {
		return nil, err
	}
	return double(context.Background(), items)
}

func double(_ context.Context, items []int) ([]int, error) {
	results := make([]int, len(items))
	for i, item := range items {
		results[i] = 2 * item
	}
	return results, nil
}

type answer struct {
	result int
	err    error
}

// start calls Do in the background, and returns once the call waits.
func start(ctx context.Context, g *batch.Group[int, int], item int) <-chan answer {
	answers := make(chan answer, 1)
	go func() {
		result, err := g.Do(ctx, item)
		answers <- answer{result, err}
	}()
	synctest.Wait()
	return answers
}

func TestIdleCallerNeverWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		got, err := batch.New(10, double).Do(t.Context(), 21)

		require.NoError(t, err)
		require.Equal(t, 42, got)
		require.Zero(t, time.Since(began), "no timer may be in the way")
	})
}

func TestCallsThatArriveMeanwhileFormTheNextGroups(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := newGate()
		g := batch.New(3, gate.run)

		var answers []<-chan answer
		for item := range 6 {
			answers = append(answers, start(t.Context(), g, item))
		}

		for _, want := range [][]int{{0}, {1, 2, 3}, {4, 5}} {
			require.Equal(t, want, <-gate.groups)
			gate.open <- nil
		}
		for item, a := range answers {
			require.Equal(t, answer{result: 2 * item}, <-a)
		}
	})
}

func TestFailureIsToldToAllInTheGroupAndToNobodyElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := newGate()
		g := batch.New(2, gate.run)
		failure := errors.New("connection lost")

		first := start(t.Context(), g, 1)
		second := start(t.Context(), g, 2)
		third := start(t.Context(), g, 3)
		fourth := start(t.Context(), g, 4)

		for _, err := range []error{nil, failure, nil} {
			<-gate.groups
			gate.open <- err
		}
		require.Equal(t, answer{result: 2}, <-first)
		require.Equal(t, answer{err: failure}, <-second)
		require.Equal(t, answer{err: failure}, <-third)
		require.Equal(t, answer{result: 8}, <-fourth)
	})
}

func TestWhatNobodyWaitsForIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := newGate()
		g := batch.New(10, gate.run)
		late := make(chan answer, 10)
		g.WhenLate(func(item, result int) { late <- answer{result: result - item} })
		ctx, cancel := context.WithCancel(t.Context())

		gone, waiting := start(ctx, g, 1), start(t.Context(), g, 2)
		<-gate.groups
		cancel()
		require.ErrorIs(t, (<-gone).err, context.Canceled)
		gate.open <- nil
		require.Equal(t, answer{result: 1}, <-late)
		<-gate.groups
		gate.open <- nil
		require.Equal(t, answer{result: 4}, <-waiting)
		require.Empty(t, late, "whoever got the result is not told twice")
	})
}

func TestCancelledCallerStopsWaitingAndHarmsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := newGate()
		g := batch.New(10, gate.run)
		ctx, cancel := context.WithCancel(t.Context())

		running := start(ctx, g, 1)
		queued := start(ctx, g, 2)
		neighbour := start(t.Context(), g, 3)
		require.Equal(t, []int{1}, <-gate.groups)

		cancel()
		require.Equal(t, answer{err: context.Canceled}, <-running)
		require.Equal(t, answer{err: context.Canceled}, <-queued)

		gate.open <- nil
		require.Equal(t, []int{3}, <-gate.groups, "what nobody waits for is left out")
		gate.open <- nil
		require.Equal(t, answer{result: 6}, <-neighbour)
	})
}

func TestEndedContextRunsNothing(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	g := batch.New(1, func(context.Context, []int) ([]int, error) {
		t.Error("ran")
		return nil, nil
	})

	_, err := g.Do(ctx, 1)
	require.ErrorIs(t, err, context.Canceled)
}

func TestRunGetsNoCallersContext(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	g := batch.New(1, func(ctx context.Context, items []int) ([]int, error) {
		_, limited := ctx.Deadline()
		if limited || ctx.Done() != nil {
			return nil, errors.New("this context can end")
		}
		return items, nil
	})

	_, err := g.Do(ctx, 1)
	require.NoError(t, err)
}

func TestMissingResultsAreAnError(t *testing.T) {
	g := batch.New(1, func(context.Context, []int) ([]int, error) { return nil, nil })

	_, err := g.Do(t.Context(), 1)
	require.EqualError(t, err, "batch of 1 items got 0 results")
}

// TestEveryItemRunsOnce also shows, by ending at all, that a bubble whose calls
// are answered holds no goroutine of the group.
func TestEveryItemRunsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const callers, max = 500, 7
		var ran [callers]atomic.Int32
		var under atomic.Int32
		g := batch.New(max, func(ctx context.Context, items []int) ([]int, error) {
			if under.Add(1) > 1 || len(items) > max {
				return nil, errors.New("two runs at once, or too large a group")
			}
			defer under.Add(-1)
			for _, item := range items {
				ran[item].Add(1)
			}
			runtime.Gosched()
			return double(ctx, items)
		})

		var all sync.WaitGroup
		for item := range callers {
			all.Go(func() {
				got, err := g.Do(t.Context(), item)
				if err != nil || got != 2*item {
					t.Errorf("item %d: got %d, %v", item, got, err)
				}
			})
		}
		all.Wait()
		for item := range callers {
			require.EqualValues(t, 1, ran[item].Load(), "item %d", item)
		}
	})
}

// BenchmarkDo has callers share a run that costs 100 µs whatever its size.
func BenchmarkDo(b *testing.B) {
	var runs atomic.Int64
	g := batch.New(256, func(_ context.Context, items []int) ([]int, error) {
		runs.Add(1)
		time.Sleep(100 * time.Microsecond)
		return items, nil
	})

	b.SetParallelism(64)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := g.Do(b.Context(), 1); err != nil {
				b.Error(err)
			}
		}
	})
	b.ReportMetric(float64(b.N)/float64(runs.Load()), "items/run")
}
