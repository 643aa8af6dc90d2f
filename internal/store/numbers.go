package store

import (
	"cmp"
	"slices"
	"time"

	"awareid-gateway/internal/event"
)

// numberRun is a run of numbers of a webhook without a hole.
type numberRun struct {
	webhook     string
	first, last uint64
}

// runsOf joins neighbours: numbers mostly come nearly in order.
func runsOf(seen []event.Number) []numberRun {
	sorted := slices.SortedFunc(slices.Values(seen), func(a, b event.Number) int {
		return cmp.Or(cmp.Compare(a.Webhook, b.Webhook), cmp.Compare(a.N, b.N))
	})
	var runs []numberRun
	for _, s := range sorted {
		if n := len(runs); n > 0 && runs[n-1].webhook == s.Webhook && s.N <= runs[n-1].last+1 {
			runs[n-1].last = s.N
			continue
		}
		runs = append(runs, numberRun{webhook: s.Webhook, first: s.N, last: s.N})
	}
	return runs
}

// Names of sums, in Redis and in the file.
const (
	sumGivenUp   = "given-up"
	sumForgotten = "forgotten"
	sumMerged    = "merged"
	sumAsked     = "asked"
	sumCame      = "came"
	sumPauses    = "pauses"
	sumUntil     = "until" // in milliseconds since 1970; 0: no pause
)

func readSums(n *event.Numbers, sum func(name string) uint64) {
	n.Missing, n.Retrying, n.Unrecoverable = sum(string(event.Missing)), sum(string(event.Retrying)), sum(string(event.Unrecoverable))
	n.GivenUp, n.Forgotten, n.Merged = sum(sumGivenUp), sum(sumForgotten), sum(sumMerged)
	n.Pace = event.Pace{Asked: sum(sumAsked), Came: sum(sumCame), Pauses: int(sum(sumPauses))} // #nosec G115 -- a count
	if until := sum(sumUntil); until > 0 {
		n.Until = time.UnixMilli(int64(until)) // #nosec G115 -- milliseconds since 1970
	}
}

func writePace(p event.Pace, set func(name string, value uint64)) {
	set(sumAsked, p.Asked)
	set(sumCame, p.Came)
	set(sumPauses, uint64(p.Pauses)) // #nosec G115 -- a count
	until := uint64(0)
	if !p.Until.IsZero() {
		until = uint64(p.Until.UnixMilli())
	}
	set(sumUntil, until)
}
