package backfill

import (
	"cmp"
	"context"
	"math"
	"strconv"
	"time"

	"awareid-gateway/internal/event"
)

// longestRest is how long a webhook is left alone after rounds that failed.
const longestRest = time.Minute

// round fills what can be filled now, and within an interval or a batch, whichever
// is longer: the rounds of all webhooks end before the next begin. After a failure
// the next one waits.
func (b *Backfiller) round(ctx context.Context, h *hook) {
	if b.opts.Now().Before(h.notBefore) {
		return
	}
	if err := b.opts.Dispatcher.Ready(ctx); err != nil { // it is no failure, and soon over
		b.opts.Log.Debug("missing events are not fetched yet", "webhook", h.ID, "why", err)
		return
	}
	end := b.opts.Now().Add(b.opts.Interval)
	for more := true; more && ctx.Err() == nil && b.opts.Now().Before(end); {
		var err error
		if more, err = b.fillBatch(ctx, h); err != nil {
			b.failed(ctx, h, err)
			return
		}
	}
}

func (b *Backfiller) failed(ctx context.Context, h *hook, err error) {
	if ctx.Err() != nil {
		return
	}
	h.failures++
	rest := longestRest
	if h.failures < 10 {
		rest = min(b.opts.Interval<<h.failures, longestRest)
	}
	h.notBefore = b.opts.Now().Add(rest)
	b.metrics.failed(h.ID, err)
	b.opts.Log.Warn("missing events could not be fetched", "webhook", h.ID, "again_in", rest.String(), "error", err)
}

// fillBatch asks for one batch of numbers, and reports whether there may be
// another one.
func (b *Backfiller) fillBatch(ctx context.Context, h *hook) (more bool, err error) {
	sums, err := b.opts.Numbers.Numbers(ctx, h.ID)
	if err != nil || sums.Now.Before(sums.Until) {
		return false, err
	}
	due, err := b.opts.Numbers.Due(ctx, h.ID, b.opts.Grace, b.opts.Batch)
	if err != nil {
		return false, err
	}
	asked := b.selectDue(due)
	if len(asked) == 0 {
		return false, nil
	}
	narrowed := h.narrowing.size > 0
	result, failure := b.fetchPart(ctx, h, asked)
	// What was answered is settled whatever failed then; the rest stays due.
	if err := b.opts.Numbers.Postpone(ctx, h.ID, b.postponements(asked, result)); err != nil {
		return false, err
	}
	if err := b.judge(ctx, h, sums, asked, result); err != nil {
		return false, err
	}
	if err := cmp.Or(failure, result.failure); err != nil {
		return false, err
	}
	h.failures, h.notBefore = 0, time.Time{}
	return len(asked) == b.opts.Batch || narrowed, nil
}

// number is one that is asked for.
type number struct {
	n        uint64
	attempts int // in vain so far
	first    bool
}

func (n number) text() string { return strconv.FormatUint(n.n, 10) }

// selectDue makes a batch: what was never asked for, once there is enough of it or
// it has waited for three intervals, and then what is to be asked for again.
func (b *Backfiller) selectDue(due event.Due) []number {
	asked := make([]number, 0, b.opts.Batch)
	lingered := due.Now.Add(-b.opts.Grace - 3*b.opts.Interval)
	for _, gap := range due.Missing {
		asked = b.expand(asked, gap, true)
	}
	waited := false
	for _, gap := range due.Missing {
		waited = waited || !gap.Since.After(lingered)
	}
	if len(asked) < b.opts.Batch && !waited {
		asked = asked[:0]
	}
	for _, gap := range due.Retry {
		asked = b.expand(asked, gap, false)
	}
	return asked
}

func (b *Backfiller) expand(asked []number, gap event.Gap, first bool) []number {
	for n := gap.First; n <= gap.Last && len(asked) < b.opts.Batch; n++ {
		asked = append(asked, number{n: n, attempts: gap.Attempts, first: first})
	}
	return asked
}

func textOf(asked []number) []string {
	all := make([]string, len(asked))
	for i, a := range asked {
		all[i] = a.text()
	}
	return all
}

// failedWait is how long a number stands back whose event came and could not be
// dispatched, so that those behind it have their turn.
const failedWait = 30 * time.Second

// postponements are the numbers that did not come, or not to Kafka, neighbours
// together. The latter is no attempt in vain.
func (b *Backfiller) postponements(asked []number, r result) []event.Postponement {
	var all []event.Postponement
	for _, a := range asked {
		p := event.Postponement{First: a.n, Last: a.n, Attempts: a.attempts, Wait: failedWait}
		switch r.outcomes[a.text()] {
		case Failed:
		case NotReturned:
			p.Attempts, p.Wait = a.attempts+1, b.wait(a.attempts)
			p.GiveUp = p.Attempts >= b.opts.Attempts
		default:
			continue
		}
		if i := len(all) - 1; i >= 0 && all[i].Last+1 == a.n && all[i].Attempts == p.Attempts {
			all[i].Last = a.n
			continue
		}
		all = append(all, p)
	}
	return all
}

// longestWait is how long a number waits for another request at most.
const longestWait = time.Hour

// wait is four intervals after the first request, then twice as long each time.
func (b *Backfiller) wait(attempts int) time.Duration {
	wait := float64(4*b.opts.Interval) * math.Pow(2, float64(attempts))
	return time.Duration(min(wait, float64(longestWait)))
}

const (
	// judgeAfter is how many numbers make a judgement: fewer may be bad luck.
	judgeAfter   = 100
	firstPause   = 10 * time.Minute
	longestPause = 24 * time.Hour
)

// judge pauses filling where under half of the numbers came that were asked for
// the first time. Those that are asked for again are the ones that did not come,
// and would be counted against the platform time after time.
func (b *Backfiller) judge(ctx context.Context, h *hook, sums event.Numbers, asked []number, r result) error {
	pace := sums.Pace
	for _, a := range asked {
		outcome, known := r.outcomes[a.text()]
		if !a.first || !known || outcome == Failed {
			continue // that one will be asked for the first time again
		}
		pace.Asked++
		if outcome != NotReturned {
			pace.Came++
		}
	}
	if pace.Asked == sums.Asked {
		return nil
	}
	if pace.Asked < judgeAfter {
		return b.opts.Numbers.SetPace(ctx, h.ID, pace)
	}
	if 2*pace.Came >= pace.Asked {
		return b.opts.Numbers.SetPace(ctx, h.ID, event.Pace{})
	}
	pause := longestPause
	if pace.Pauses < 10 {
		pause = min(firstPause<<pace.Pauses, longestPause)
	}
	b.opts.Log.Error("backfill pauses: under half of the missing numbers are known to the platform, so they are not dense or not ours",
		"webhook", h.ID, "asked", pace.Asked, "came", pace.Came, "for", pause.String())
	return b.opts.Numbers.SetPace(ctx, h.ID, event.Pace{Pauses: pace.Pauses + 1, Until: sums.Now.Add(pause)})
}
