package backfill

import (
	"cmp"
	"slices"
	"strconv"
	"time"

	"awareid-gateway/internal/awareid"
	"awareid-gateway/internal/decrypt"
	"awareid-gateway/internal/event"
)

// Reason says why an element of an answer is refused.
type Reason string

// The reasons.
const (
	Undecryptable Reason = "undecryptable" // no key at hand opens it
	Malformed     Reason = "malformed"     // not an event
	Foreign       Reason = "foreign"       // it carries no number that was asked for
	Repeated      Reason = "repeated"      // its number and type came before, in the same answer
	Future        Reason = "future"        // created in the time to come
)

// Reasons lists all reasons.
func Reasons() []Reason { return []Reason{Undecryptable, Malformed, Foreign, Repeated, Future} }

// fetched is an event that came for a number.
type fetched struct {
	event.Event
	number string // as it was asked for
}

// isAgain says that an event is another one's repetition. A number may stand for a
// transaction, whose events have types of their own: see event.Event.AliasKey.
func (f fetched) isAgain(other fetched) bool {
	return f.number == other.number && f.Type == other.Type
}

// read returns the events of an answer that can be used, in the order in which
// their numbers were asked for, and counts the others. Those of one number are in
// the order of their creation.
func (b *Backfiller) read(h *hook, batch awareid.Batch, now time.Time) ([]fetched, map[Reason]int) {
	asked := make(map[string]string, len(batch.Numbers))
	place := make(map[string]int, len(batch.Numbers))
	for i, n := range batch.Numbers {
		asked[canonical(n)], place[n] = n, i
	}
	var events []fetched
	refused := map[Reason]int{}
	for _, body := range batch.Bodies {
		e, reason := b.readOne(h, body, now)
		number, ours := asked[canonical(e.TransactionNum)]
		came := fetched{Event: e, number: number}
		switch {
		case reason == "" && !ours:
			reason = Foreign
		case reason == "" && slices.ContainsFunc(events, came.isAgain):
			reason = Repeated
		}
		if reason != "" {
			refused[reason]++
			continue
		}
		events = append(events, came)
	}
	slices.SortStableFunc(events, func(x, y fetched) int {
		return cmp.Or(cmp.Compare(place[x.number], place[y.number]), x.Created.Compare(y.Created))
	})
	return events, refused
}

func (b *Backfiller) readOne(h *hook, body []byte, now time.Time) (event.Event, Reason) {
	opened, err := h.opener.Load().Open(body, decrypt.NoSecret)
	if err != nil {
		return event.Event{}, Undecryptable
	}
	e, err := event.Parse(opened.Plaintext)
	switch {
	case err != nil:
		return e, Malformed
	case e.Created.After(now.Add(b.opts.MaxAhead)):
		return e, Future
	}
	return e, ""
}

// canonical makes 7, "7" and 007 the same number. What is no number is as it is.
func canonical(number string) string {
	n, err := strconv.ParseUint(number, 10, 64)
	if err != nil {
		return number
	}
	return strconv.FormatUint(n, 10)
}
