package reconcile_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"
	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/awareid"
	"awareid-gateway/internal/reconcile"
)

// leaders grants tasks as the store does, by the clock of the bubble.
type leaders struct {
	mu    sync.Mutex
	err   error
	who   string
	until time.Time
}

func (l *leaders) Lead(ctx context.Context, task, who string, lease time.Duration) (bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := firstOf(ctx.Err(), l.err); err != nil {
		return false, err
	}
	if l.who != who && time.Now().Before(l.until) {
		return false, nil
	}
	l.who, l.until = who, time.Now().Add(lease)
	return true, nil
}

func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// take gives a turn to somebody, whoever has it.
func (l *leaders) take(who string, lease time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.who, l.until = who, time.Now().Add(lease)
}

func (l *leaders) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.err = err
}

// logged is a log that is read while it is written.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// replica is a runner with what it does to be seen.
type replica struct {
	*world
	runner  *reconcile.Runner
	log     *logged
	metrics *prometheus.Registry
	stop    context.CancelFunc
	ended   chan struct{}
}

func runReplica(t *testing.T, l reconcile.Leaders, prepare func(*world, *reconcile.Options)) *replica {
	r := &replica{world: &world{}, log: &logged{}, metrics: prometheus.NewRegistry(), ended: make(chan struct{})}
	o := options(r.world)
	o.Interval, o.Leaders, o.Metrics, o.Log = time.Hour, l, r.metrics, slog.New(slog.NewTextHandler(r.log, nil))
	if prepare != nil {
		prepare(r.world, &o)
	}
	r.runner = reconcile.New(o)
	ctx, stop := context.WithCancel(t.Context())
	r.stop = stop
	go func() { defer close(r.ended); r.runner.Run(ctx) }()
	return r
}

func (r *replica) end() { r.stop(); <-r.ended }

func (r *replica) runs() int { return strings.Count(r.log.String(), "compared the platform") }

// figures are the lines of the metrics.
func (r *replica) figures(t *testing.T) (lines []string) {
	families, err := r.metrics.Gather()
	require.NoError(t, err)
	for _, family := range families {
		var text strings.Builder
		_, err := expfmt.MetricFamilyToText(&text, family)
		require.NoError(t, err)
		for line := range strings.Lines(text.String()) {
			if !strings.HasPrefix(line, "#") {
				lines = append(lines, strings.TrimSpace(line))
			}
		}
	}
	return lines
}

// TestOneReplicaAtATime compares, once an interval, and a later one when the first
// is gone.
func TestOneReplicaAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &leaders{}
		a, b := runReplica(t, l, nil), runReplica(t, l, nil)
		time.Sleep(10*time.Hour + 30*time.Minute)
		synctest.Wait()
		require.Equal(t, 11, a.runs()+b.runs()) // the first soon after the start
		a.end()
		before := b.runs()
		time.Sleep(3 * time.Hour)
		synctest.Wait()
		require.Equal(t, before+3, b.runs())
		b.end()
		c := runReplica(t, l, nil) // started anew within the interval
		time.Sleep(20 * time.Minute)
		synctest.Wait()
		require.Zero(t, c.runs())
		c.end()
	})
}

func TestAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := runReplica(t, nil, nil)
		_, ok := r.runner.Last()
		require.False(t, ok)
		time.Sleep(3*time.Hour + 30*time.Minute)
		synctest.Wait()
		require.Equal(t, 4, r.runs())
		last, ok := r.runner.Last()
		require.True(t, ok)
		require.WithinDuration(t, time.Now().Add(-30*time.Minute), last.Began, 5*time.Minute)
		r.end()
	})
}

// TestATurnThatIsCutShort is another replica's.
func TestATurnThatIsCutShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &leaders{}
		a := runReplica(t, l, func(w *world, o *reconcile.Options) {
			w.list(time.Hour, "missing")
			o.Settle = 30 * time.Minute
		})
		time.Sleep(5 * time.Minute)
		a.end()
		require.Zero(t, a.runs())
		b := runReplica(t, l, nil)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		require.Equal(t, 1, b.runs())
		b.end()
	})
}

// TestAStoreThatIsAway is told once, and no replica compares meanwhile.
func TestAStoreThatIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &leaders{}
		l.fail(errAway)
		r := runReplica(t, l, nil)
		time.Sleep(5 * time.Hour)
		synctest.Wait()
		require.Zero(t, r.runs())
		require.Equal(t, 1, strings.Count(r.log.String(), "no replica can be chosen"))
		l.fail(nil)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		require.Equal(t, 1, r.runs())
		r.end()
	})
}

// TestARunIsNoLongerThanTheInterval, so that no two are under way.
func TestARunIsNoLongerThanTheInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := runReplica(t, nil, func(w *world, o *reconcile.Options) {
			w.list(time.Hour, "missing")
			o.Settle = 5 * time.Hour
		})
		time.Sleep(90 * time.Minute)
		synctest.Wait()
		last, ok := r.runner.Last()
		require.True(t, ok)
		require.Equal(t, time.Hour, last.Ended.Sub(last.Began))
		require.Contains(t, strings.Join(last.Problems, ""), "took too long")
		r.end()
	})
}

// TestMetricsAndLog have the counts, and nothing of whom they are about.
func TestMetricsAndLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &leaders{}
		r := runReplica(t, l, func(w *world, o *reconcile.Options) {
			w.list(time.Hour, "private-a", "private-b")
			w.enrolled(time.Minute, "private-c")
			for _, status := range []string{"Pending", "Completed", "Completed", "gone"} {
				w.happen(2*time.Hour, "enrollment.b2c.started", "private-"+status+string(rune('a'+len(w.records))), `"sessionToken":"private-`+status+`"`)
			}
			w.statuses = map[string]awareid.B2CStatus{"private-Pending": "Pending", "private-Completed": "Completed"}
		})
		require.Empty(t, r.figures(t))
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		last, _ := r.runner.Last()
		require.ElementsMatch(t, []string{
			"gateway_reconcile_missing_enrollments 2",
			"gateway_reconcile_partial 0",
			`gateway_reconcile_unended_operations{platform="ended"} 2`,
			`gateway_reconcile_unended_operations{platform="pending"} 1`,
			`gateway_reconcile_unended_operations{platform="unknown"} 1`,
			"gateway_reconcile_unknown_events 1",
			fmt.Sprint("gateway_reconcile_last_run_timestamp_seconds ", float64(last.Ended.UnixMilli())/1000),
		}, r.figures(t))
		require.Contains(t, r.log.String(), "level=WARN")
		require.Contains(t, r.log.String(), "missing_enrollments=2 unended_operations=4 ended_on_the_platform=2 unknown_events=1")
		require.NotContains(t, r.log.String(), "private")

		// What is not compared has no figure.
		r.loseKafka(errAway)
		time.Sleep(time.Hour)
		synctest.Wait()
		require.Len(t, r.figures(t), 2)

		// Another replica's turn: its figures count.
		l.take("another", 9*time.Hour)
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		require.Empty(t, r.figures(t))
		r.end()
	})
}
