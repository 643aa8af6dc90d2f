package backfill

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"strconv"
	"time"

	"awareid-gateway/internal/event"
)

// Request says what is to be fetched by hand: the numbers From to To, or those of
// List, or what is missing, unrecoverable numbers among it, if neither is given.
type Request struct {
	Webhook string   `json:"webhook,omitempty"` // name or id; "": the only one, or all of them for what is missing
	From    *uint64  `json:"from,omitempty"`
	To      *uint64  `json:"to,omitempty"`
	List    []string `json:"list,omitempty"` // need not be numeric
	// Since leaves out what was found missing longer ago; 0: nothing.
	Since  time.Duration `json:"since,omitempty"`
	DryRun bool          `json:"dryRun,omitempty"` // ask and check, and dispatch nothing
}

// The errors of a request, beside the platform's, the store's and the dispatcher's.
var (
	// ErrRequest means that a request cannot be carried out. What wraps it says why.
	ErrRequest = errors.New("bad request for a backfill")
	// ErrSparse ends a fetch of what is missing where nearly nothing comes.
	ErrSparse = errors.New("under half of what is missing is known to the platform: the numbers are not dense or not ours; name them with from and to to fetch them all the same")
)

// maxList bounds a list of numbers.
const maxList = 100_000

func (q Request) check() error {
	wrong := func(what string) error { return fmt.Errorf("%w: %s", ErrRequest, what) }
	switch ranged := q.From != nil || q.To != nil; {
	case ranged && (q.From == nil || q.To == nil || *q.From > *q.To || *q.To > maxNumber):
		return wrong("from and to belong together, from is not above to, and to is below 2^53")
	case ranged && (len(q.List) > 0 || q.Since != 0), len(q.List) > 0 && q.Since != 0:
		return wrong("choose one of a range, a list and a time")
	case q.Since < 0:
		return wrong("the time is not negative")
	case len(q.List) > maxList:
		return wrong("the list is longer than 100,000")
	}
	for _, n := range q.List {
		if n == "" || len(n) > event.MaxNameBytes || !isVisible(n) {
			return wrong("a number is 1 to 128 visible ASCII characters")
		}
	}
	return nil
}

func isVisible(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// missing says whether a request is for whatever is missing.
func (q Request) missing() bool { return q.From == nil && len(q.List) == 0 }

// Summary is what a fetch by hand has come to.
type Summary struct {
	Total    uint64             `json:"total"`    // numbers to be asked for, as far as known
	Asked    uint64             `json:"asked"`    // numbers
	Requests int                `json:"requests"` // answered or failed
	Outcomes map[Outcome]uint64 `json:"outcomes"`
	Refused  map[Reason]uint64  `json:"refused,omitempty"` // elements of answers
	// Unrecovered are numbers that did not come or could not be dispatched, the
	// first 1,000 of them.
	Unrecovered []string `json:"unrecovered,omitempty"`
}

const maxUnrecovered = 1000

// Complete says that all that was asked for came and was dealt with.
func (s Summary) Complete() bool {
	return s.Outcomes[NotReturned] == 0 && s.Outcomes[Failed] == 0
}

// Came counts the numbers for which an event came.
func (s Summary) Came() uint64 { return s.Asked - s.Outcomes[NotReturned] }

func (s *Summary) add(numbers []string, r result) {
	s.Requests += r.requests
	for _, n := range numbers {
		outcome, known := r.outcomes[n]
		if !known {
			continue
		}
		s.Asked++
		s.Outcomes[outcome]++
		if (outcome == NotReturned || outcome == Failed) && len(s.Unrecovered) < maxUnrecovered {
			s.Unrecovered = append(s.Unrecovered, n)
		}
	}
	for reason, n := range r.refused {
		s.Refused[reason] += uint64(n) // #nosec G115 -- a count
	}
	s.Total = max(s.Total, s.Asked)
}

// Fill fetches by hand what a request names, whether or not filling is paused. The
// grace is no matter. progress, which may be nil, hears of each batch. The summary
// holds what was done even beside an error: ErrRequest, ErrUnknownWebhook,
// ErrSparse, the platform's, the store's or the context's. That a number did not
// come is no error: see Summary.Complete.
func (b *Backfiller) Fill(ctx context.Context, q Request, progress func(Summary)) (Summary, error) {
	s := Summary{Outcomes: map[Outcome]uint64{}, Refused: map[Reason]uint64{}}
	if err := q.check(); err != nil {
		return s, err
	}
	hooks, err := b.chosen(q)
	if err != nil {
		return s, err
	}
	for _, h := range hooks {
		n, err := b.total(ctx, h, q)
		if err != nil {
			return s, err
		}
		s.Total += n
	}
	for _, h := range hooks {
		if err := b.fill(ctx, h, q, &s, progress); err != nil {
			return s, err
		}
	}
	return s, nil
}

func (b *Backfiller) chosen(q Request) ([]*hook, error) {
	if q.missing() {
		return b.choose(q.Webhook)
	}
	h, err := b.find(q.Webhook)
	return []*hook{h}, err
}

// sparseAfter is how many numbers of what is missing are asked for at least.
const sparseAfter = 1000

func (b *Backfiller) fill(ctx context.Context, h *hook, q Request, s *Summary, progress func(Summary)) error {
	for numbers, err := range b.batches(ctx, h, q) {
		if err != nil {
			return err
		}
		r, err := b.fetch(ctx, h, numbers, q.DryRun)
		s.add(numbers, r)
		if progress != nil {
			progress(*s)
		}
		switch {
		case err != nil:
			return err
		case r.failure != nil && s.Outcomes[Failed] >= uint64(b.opts.Batch): // #nosec G115 -- a count
			return r.failure // Kafka is away, or the store
		case q.missing() && s.Asked >= sparseAfter && 2*s.Came() < s.Asked:
			return ErrSparse
		}
	}
	return ctx.Err()
}

// total is how many numbers a request names; of what was found since a time it
// takes all that is missing for the most.
func (b *Backfiller) total(ctx context.Context, h *hook, q Request) (uint64, error) {
	switch {
	case q.From != nil:
		return *q.To - *q.From + 1, nil
	case len(q.List) > 0:
		return uint64(len(q.List)), nil
	case q.Since > 0:
		return 0, nil
	}
	sums, err := b.opts.Numbers.Numbers(ctx, h.ID)
	return sums.Missing + sums.Retrying + sums.Unrecoverable, err
}

// batches are the numbers that a request names.
func (b *Backfiller) batches(ctx context.Context, h *hook, q Request) iter.Seq2[[]string, error] {
	return func(yield func([]string, error) bool) {
		var batch []string
		for n, err := range b.numbers(ctx, h, q) {
			if err != nil {
				yield(nil, err)
				return
			}
			if batch = append(batch, n); len(batch) == b.opts.Batch {
				if !yield(batch, nil) {
					return
				}
				batch = nil
			}
		}
		if len(batch) > 0 {
			yield(batch, nil)
		}
	}
}

func (b *Backfiller) numbers(ctx context.Context, h *hook, q Request) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for _, n := range q.List {
			if !yield(n, nil) {
				return
			}
		}
		if q.From != nil {
			yieldGap(event.Gap{First: *q.From, Last: *q.To}, yield)
		}
		if !q.missing() {
			return
		}
		since := time.Time{}
		if q.Since > 0 {
			since = b.opts.Now().Add(-q.Since)
		}
		for gap, err := range b.gaps(ctx, h) {
			if err != nil {
				yield("", err)
				return
			}
			if !gap.Since.Before(since) && !yieldGap(gap, yield) {
				return
			}
		}
	}
}

func yieldGap(gap event.Gap, yield func(string, error) bool) bool {
	for n := gap.First; n <= gap.Last; n++ {
		if !yield(strconv.FormatUint(n, 10), nil) {
			return false
		}
	}
	return true
}

// gapPage is how many gaps are read at a time.
const gapPage = 1000

// gaps are all gaps of a webhook, kind after kind. The store changes meanwhile, so
// a number may be there twice or not at all.
func (b *Backfiller) gaps(ctx context.Context, h *hook) iter.Seq2[event.Gap, error] {
	return func(yield func(event.Gap, error) bool) {
		for _, kind := range event.GapKinds() {
			for from, more := uint64(0), true; more; {
				page, err := b.opts.Numbers.Gaps(ctx, h.ID, kind, from, gapPage)
				if err != nil {
					yield(event.Gap{}, err)
					return
				}
				for _, gap := range page {
					if !yield(gap, nil) {
						return
					}
					from = gap.Last + 1
				}
				more = len(page) == gapPage && from < math.MaxUint64
			}
		}
	}
}
