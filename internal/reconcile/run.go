package reconcile

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"awareid-gateway/internal/awareid"
)

// run is one comparison under way.
type run struct {
	*comparison
	opts     Options
	cursor   Cursor
	listed   bool      // the platform's list was read to its end
	asked    time.Time // when the platform had told all that it was asked
	lookedUp []lookedUp
	report   Report
}

// lookedUp is an unended operation, as far as it is known.
type lookedUp struct {
	key uint64
	UnendedOperation
}

// margin is how much further back than the period events are read, against clocks
// that disagree.
const margin = 10 * time.Minute

func newRun(o Options) *run {
	now := time.Now().UTC()
	r := &run{opts: o, report: Report{
		Began: now, JoinField: o.JoinField, Webhook: o.Webhook,
		Compared: []Subject{}, Problems: []string{},
		Missing: MissingEnrollments{List: []MissingEnrollment{}},
		Unended: UnendedOperations{List: []UnendedOperation{}}, Unknown: UnknownEvents{List: []UnknownEvent{}},
	}}
	if o.Window > 0 {
		r.report.Since = now.Add(-o.Window)
	}
	r.comparison = newComparison(o.JoinField, o.source(), r.report.Since, now.Add(-o.OpenAfter), o.maxKeys)
	r.conceal = o.Hash
	return r
}

// compare does what can be done. Without all events nothing could be told as
// missing; without all of the platform's list what it lists still can.
func (r *run) compare(ctx context.Context) {
	if r.failed(ctx, "the events could not be read", r.readEvents(ctx)) {
		return
	}
	r.listed = !r.failed(ctx, "the platform's enrollments could not be listed to the end", r.listEnrollments(ctx))
	looked := r.lookUpOperations(ctx)
	r.asked = time.Now()
	settled := r.settle(ctx)
	r.tellMissing(settled)
	r.tellUnended(looked && settled)
	if r.listed {
		r.tellUnknown(ctx)
	}
}

// failed notes a problem, if there is one: that the run's time is over, rather than
// what that ended.
func (r *run) failed(ctx context.Context, what string, err error) bool {
	if err != nil {
		r.note("%s: %v", what, cmp.Or(context.Cause(ctx), err))
	}
	return err != nil
}

func (r *run) note(format string, args ...any) {
	r.report.Problems = append(r.report.Problems, fmt.Sprintf(format, args...))
}

func (r *run) made(s Subject) { r.report.Compared = append(r.report.Compared, s) }

func (r *run) readEvents(ctx context.Context) (err error) {
	from := r.since
	if !from.IsZero() {
		from = from.Add(-margin)
	}
	if r.cursor, err = r.opts.Records.Start(ctx, from); err != nil {
		return err
	}
	return r.opts.Records.Read(ctx, r.cursor, r.record)
}

func (r *run) listEnrollments(ctx context.Context) error {
	for page, err := range r.opts.Platform.Enrollments(ctx) {
		if err != nil {
			return fmt.Errorf("page %d: %w", page.Number, err)
		}
		r.platform.Pages++
		for _, e := range page.Enrollments {
			if err := r.enrollment(e); err != nil {
				return err
			}
		}
	}
	return ctx.Err()
}

// settle reads on after a while, if something is missing: it may have been on its
// way. It is false where that fails.
func (r *run) settle(ctx context.Context) bool {
	if len(r.missing) == 0 && !r.lacksAnEnd() {
		return true
	}
	err := sleep(ctx, time.Until(r.asked.Add(r.opts.Settle)))
	if err == nil {
		r.late = true
		err = r.opts.Records.Read(ctx, r.cursor, r.record)
	}
	return !r.failed(ctx, "what came meanwhile could not be read, so what is missing may be on its way", err)
}

func (r *run) lacksAnEnd() bool {
	for _, o := range r.lookedUp {
		if o.ended() {
			return true
		}
	}
	return false
}

func (r *run) tellMissing(settled bool) {
	r.report.Missing = r.missingNow()
	if n := r.kafka.Unjoinable; n > 0 {
		r.note("%d enrollment.completed events have no %s: what they stand for counts as missing", n, r.field)
	}
	if n := r.platform.Unjoinable; n > 0 {
		r.note("%d enrollments on the platform have no %s: not compared", n, r.field)
	}
	if n := r.platform.Undated; n > 0 {
		r.note("%d enrollments on the platform have no event, and no %s that can be read: not compared, as they may be of before the period", n, startDate)
	}
	if r.listed && settled && r.kafka.Unjoinable+r.platform.Unjoinable+r.platform.Undated == 0 {
		r.made(Enrollments)
	}
}

func (r *run) tellUnended(complete bool) {
	u := &r.report.Unended
	for _, o := range r.lookedUp {
		if r.hasEnded(o.key) {
			u.Count--
			continue
		}
		switch {
		case o.ended():
			u.Ended++
		case o.Status == awareid.B2CPending:
			u.Pending++
		}
		u.List = append(u.List, o.UnendedOperation)
	}
	if complete {
		r.made(Operations)
	}
}

// tellUnknown asks once more about events that the list does not know, where the
// platform can be asked for one enrollment: the list may have left it out.
func (r *run) tellUnknown(ctx context.Context) {
	unknown := r.unknown()
	r.report.Unknown.Count = unknown.count
	for _, f := range unknown.sorted() {
		e, known, err := r.lookUpUnknown(ctx, f)
		if r.failed(ctx, "the events that the platform did not list could not all be looked up", err) {
			return
		}
		if known {
			r.report.Unknown.Count--
			continue
		}
		r.report.Unknown.List = append(r.report.Unknown.List, e)
	}
	if r.field == registrationCode && unknown.count > MaxListed {
		r.note("only %d of %d events that the platform did not list were looked up", MaxListed, unknown.count)
		return
	}
	r.made(Events)
}

// finish closes the report.
func (r *run) finish() Report {
	r.kafka.Completed, r.kafka.Operations = len(r.completed), len(r.operations)
	r.report.Kafka, r.report.Platform = r.kafka, r.platform
	r.report.Partial = len(r.report.Problems) > 0
	r.report.Ended = time.Now().UTC()
	return r.report
}

// sleep returns the context's error where that ends first.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(max(d, 0))
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
