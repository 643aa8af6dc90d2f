package reconcile

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"time"
)

var errOverdue = errors.New("the comparison took too long")

const (
	task = "reconcile"
	// Replicas ask for their turn this many times in an interval, within these bounds.
	asksPerInterval = 20
	minAsk          = time.Second
	maxAsk          = time.Minute
	// giveBackTimeout bounds the call that leaves a turn to another replica.
	giveBackTimeout = time.Second
)

// Run compares once in each Interval until the context ends, on one of all replicas:
// the first to ask has the turn, and the store keeps it for the Interval, restarts
// included. A turn that the context ends is given to another replica; that of one
// that died is made up for by the next. The first run comes soon after the start. An
// Interval that was changed counts from the next turn on.
// Each run has one log line with its counts, and nothing of whom they are about.
func (r *Runner) Run(ctx context.Context) {
	s := schedule{Runner: r}
	ask := min(max(r.opts.Interval/asksPerInterval, minAsk), maxAsk)
	for sleep(ctx, ask) == nil {
		s.step(ctx)
	}
}

// schedule is how a runner takes its turns.
type schedule struct {
	*Runner
	began   time.Time // of this replica's last turn
	failing bool      // the store does not answer
}

func (s *schedule) step(ctx context.Context) {
	turn := rand.Text()
	if !s.isOurs(ctx, turn) {
		return
	}
	s.began = time.Now()
	report := s.Once(ctx)
	if ctx.Err() != nil {
		s.giveBack(ctx, turn)
		return
	}
	s.log(ctx, report)
}

func (s *schedule) giveBack(ctx context.Context, turn string) {
	if s.opts.Leaders == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), giveBackTimeout)
	defer cancel()
	_, _ = s.opts.Leaders.Lead(ctx, task, turn, 0) // else the next turn makes up for it
}

// isOurs asks for a turn, under a name that is never used again: so the turn that
// this replica had is as much over for it as for the others.
func (s *schedule) isOurs(ctx context.Context, turn string) bool {
	age := time.Since(s.began)
	if s.opts.Leaders == nil {
		return age >= s.opts.Interval
	}
	ours, err := s.opts.Leaders.Lead(ctx, task, turn, s.opts.Interval)
	if err != nil {
		if !s.failing && ctx.Err() == nil {
			s.opts.Log.Warn("no replica can be chosen to compare the platform with the events in Kafka", "error", err)
		}
		s.failing = true
		return false
	}
	s.failing = false
	if !ours && age > s.opts.Interval+minAsk { // the store's clock is another one
		s.outdated()
	}
	return ours
}

// outdated says that another replica has compared since: its metrics count.
func (r *Runner) outdated() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.current = false
}

// log warns of what somebody has to look at.
func (s *schedule) log(ctx context.Context, report Report) {
	level := slog.LevelInfo
	if report.Misses() || report.Partial {
		level = slog.LevelWarn
	}
	s.opts.Log.LogAttrs(ctx, level, "compared the platform with the events in Kafka",
		slog.Int("missing_enrollments", report.Missing.Count),
		slog.Int("unended_operations", report.Unended.Count),
		slog.Int("ended_on_the_platform", report.Unended.Ended),
		slog.Int("unknown_events", report.Unknown.Count),
		slog.Int("records", report.Kafka.Records),
		slog.Int("enrollments", report.Platform.Enrollments),
		slog.Any("compared", report.Compared),
		slog.Any("problems", report.Problems),
		slog.Duration("took", report.Ended.Sub(report.Began)),
	)
}
