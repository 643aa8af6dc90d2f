package store_test

import (
	"context"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/event"
)

const hookID = "0123456789abcdef0123456789abcdef"

// numberStore is what both stores know of transaction numbers.
type numberStore interface {
	See(ctx context.Context, seen []event.Number) error
	SeeFetched(ctx context.Context, seen []event.Number) error
	Due(ctx context.Context, webhook string, grace time.Duration, limit int) (event.Due, error)
	Postpone(ctx context.Context, webhook string, all []event.Postponement) error
	Gaps(ctx context.Context, webhook string, kind event.GapKind, from uint64, limit int) ([]event.Gap, error)
	Numbers(ctx context.Context, webhook string) (event.Numbers, error)
	SetPace(ctx context.Context, webhook string, pace event.Pace) error
	Forget(ctx context.Context, webhook string) (event.Numbers, error)
}

// numbering is a store in a test.
type numbering struct {
	fixture
	numberStore
	t *testing.T
}

func (n numbering) see(seen ...uint64) {
	n.t.Helper()
	n.seeOf(hookID, seen...)
}

func (n numbering) seeOf(webhook string, seen ...uint64) {
	n.t.Helper()
	require.NoError(n.t, n.See(n.t.Context(), numbersOf(webhook, seen)))
}

func (n numbering) seeFetched(seen ...uint64) {
	n.t.Helper()
	require.NoError(n.t, n.SeeFetched(n.t.Context(), numbersOf(hookID, seen)))
}

func numbersOf(webhook string, seen []uint64) []event.Number {
	all := make([]event.Number, len(seen))
	for i, s := range seen {
		all[i] = event.Number{Webhook: webhook, N: s}
	}
	return all
}

// span is a gap without its times.
type span struct {
	first, last uint64
	attempts    int
}

func spans(gaps []event.Gap) []span {
	all := []span{}
	for _, g := range gaps {
		all = append(all, span{g.First, g.Last, g.Attempts})
	}
	return all
}

func (n numbering) gaps(kind event.GapKind) []span {
	n.t.Helper()
	gaps, err := n.Gaps(n.t.Context(), hookID, kind, 0, 10_000)
	require.NoError(n.t, err)
	return spans(gaps)
}

func (n numbering) due(grace time.Duration, limit int) event.Due {
	n.t.Helper()
	due, err := n.Due(n.t.Context(), hookID, grace, limit)
	require.NoError(n.t, err)
	return due
}

func (n numbering) postpone(all ...event.Postponement) {
	n.t.Helper()
	require.NoError(n.t, n.Postpone(n.t.Context(), hookID, all))
}

func (n numbering) sums() event.Numbers {
	n.t.Helper()
	sums, err := n.Numbers(n.t.Context(), hookID)
	require.NoError(n.t, err)
	return sums
}

// TestNumbers holds every store to the same promises about transaction numbers.
func TestNumbers(t *testing.T) {
	cases := map[string]func(numbering){
		"nothing is known of a new webhook":          nothingIsKnown,
		"holes show between numbers":                 holesShow,
		"a small disorder at the start shows holes":  disorderAtTheStart,
		"what is fetched below the start shows none": fetchedBelowTheStart,
		"a jump is one gap":                          jumpIsOneGap,
		"webhooks do not meet":                       webhooksDoNotMeet,
		"gaps are due after the grace":               dueAfterGrace,
		"a limit cuts a gap":                         limitCuts,
		"what was asked for in vain waits":           postponedWaits,
		"what came is not put back":                  cameIsNotPutBack,
		"a late number is recoverable":               lateNumber,
		"the pace is kept":                           paceIsKept,
		"what is forgotten begins anew":              forgottenBeginsAnew,
		"gaps are read in pages":                     pagesOfGaps,
		"whatever the order, what is left is missed": anyOrder,
	}
	for backend, open := range backends() {
		t.Run(backend, func(t *testing.T) { runNumbers(t, open, cases) })
	}
}

// TestBoundsOfNumbers leaves miniredis out, which sorts a whole set for each look
// at it.
func TestBoundsOfNumbers(t *testing.T) {
	for backend, open := range backends() {
		if backend == "miniredis" {
			continue
		}
		t.Run(backend, func(t *testing.T) {
			runNumbers(t, open, map[string]func(numbering){
				"the list of the unrecoverable has a bound": listHasABound,
				"nothing new is asked for while many wait":  manyWait,
				"gaps grow together where there is no room": gapsGrowTogether,
				"the start stays where there is no room":    startStays,
			})
		})
	}
}

func runNumbers(t *testing.T, open func(*testing.T) fixture, cases map[string]func(numbering)) {
	for name, run := range cases {
		t.Run(name, func(t *testing.T) {
			f := open(t)
			run(numbering{fixture: f, numberStore: f.claims.(numberStore), t: t})
		})
	}
}

func nothingIsKnown(n numbering) {
	sums := n.sums()
	require.Equal(n.t, event.Numbers{Now: sums.Now}, sums)
	require.Empty(n.t, n.gaps(event.Missing))
	require.Empty(n.t, n.due(0, 10).Missing)
	n.postpone(event.Postponement{First: 1, Last: 9, Attempts: 1})
	require.Empty(n.t, n.gaps(event.Retrying))
	require.NoError(n.t, n.See(n.t.Context(), nil))
	require.False(n.t, n.sums().Begun)
}

func holesShow(n numbering) {
	n.see(5)
	require.Empty(n.t, n.gaps(event.Missing))
	n.see(9)
	require.Equal(n.t, []span{{6, 8, 0}}, n.gaps(event.Missing))
	n.see(12, 10, 14)
	require.Equal(n.t, []span{{6, 8, 0}, {11, 11, 0}, {13, 13, 0}}, n.gaps(event.Missing))
	n.see(7)
	require.Equal(n.t, []span{{6, 6, 0}, {8, 8, 0}, {11, 11, 0}, {13, 13, 0}}, n.gaps(event.Missing))
	n.see(7, 8, 9, 10, 11, 12)
	require.Equal(n.t, []span{{6, 6, 0}, {13, 13, 0}}, n.gaps(event.Missing))
	sums := n.sums()
	require.Equal(n.t, []uint64{5, 15, 2}, []uint64{sums.First, sums.Next, sums.Missing})
	n.see(6, 13)
	require.Empty(n.t, n.gaps(event.Missing))
	require.Zero(n.t, n.sums().Missing)
}

func disorderAtTheStart(n numbering) {
	n.see(2000)
	n.see(1997)
	require.Equal(n.t, []span{{1998, 1999, 0}}, n.gaps(event.Missing))
	n.see(1995, 1998)
	require.Equal(n.t, []span{{1996, 1996, 0}, {1999, 1999, 0}}, n.gaps(event.Missing))
	n.see(1)
	require.EqualValues(n.t, 1995, n.sums().First, "so far below is another time")
	require.Len(n.t, n.gaps(event.Missing), 2)
	n.see(1990, 1991, 1992, 1993, 1994, 1995, 1996)
	require.EqualValues(n.t, 1990, n.sums().First)
	require.Equal(n.t, []span{{1999, 1999, 0}}, n.gaps(event.Missing))
}

func fetchedBelowTheStart(n numbering) {
	n.see(1000, 1010)
	n.seeFetched(990, 991, 999)
	require.EqualValues(n.t, 1000, n.sums().First)
	require.Equal(n.t, []span{{1001, 1009, 0}}, n.gaps(event.Missing))
	n.seeFetched(997, 998, 999, 1000, 1001, 1005)
	require.EqualValues(n.t, 997, n.sums().First, "nothing is between")
	require.Equal(n.t, []span{{1002, 1004, 0}, {1006, 1009, 0}}, n.gaps(event.Missing))
	n.seeFetched(1012)
	require.Equal(n.t, []span{{1002, 1004, 0}, {1006, 1009, 0}, {1011, 1011, 0}}, n.gaps(event.Missing))
	n.see(990)
	require.EqualValues(n.t, 990, n.sums().First)
}

func jumpIsOneGap(n numbering) {
	const largest = 1<<53 - 1
	n.see(0, largest)
	require.Equal(n.t, []span{{1, largest - 1, 0}}, n.gaps(event.Missing))
	require.EqualValues(n.t, largest-1, n.sums().Missing)
	n.see(1_000_000_000_000)
	require.Equal(n.t, []span{{1, 999_999_999_999, 0}, {1_000_000_000_001, largest - 1, 0}}, n.gaps(event.Missing))
	require.Equal(n.t, []span{{1, 100, 0}}, spans(n.due(0, 100).Missing))
}

func webhooksDoNotMeet(n numbering) {
	n.see(1, 3)
	n.seeOf("another", 1, 9)
	require.NoError(n.t, n.See(n.t.Context(), []event.Number{{Webhook: "another", N: 5}, {Webhook: hookID, N: 5}}))
	require.Equal(n.t, []span{{2, 2, 0}, {4, 4, 0}}, n.gaps(event.Missing))
	other, err := n.Gaps(n.t.Context(), "another", event.Missing, 0, 10)
	require.NoError(n.t, err)
	require.Equal(n.t, []span{{2, 4, 0}, {6, 8, 0}}, spans(other))
}

func dueAfterGrace(n numbering) {
	n.see(1, 9)
	require.Empty(n.t, n.due(time.Minute, 100).Missing)
	if !n.stopped {
		return // a server's own clock
	}
	n.pass(30 * time.Second)
	n.see(20)
	n.pass(30 * time.Second)
	n.see(5)
	due := n.due(time.Minute, 100)
	require.Equal(n.t, []span{{2, 4, 0}, {6, 8, 0}}, spans(due.Missing), "a split keeps the time")
	require.Equal(n.t, time.Minute, due.Now.Sub(due.Missing[0].Since))
	n.pass(30 * time.Second)
	require.Equal(n.t, []span{{2, 4, 0}, {6, 8, 0}, {10, 19, 0}}, spans(n.due(time.Minute, 100).Missing))
}

func limitCuts(n numbering) {
	n.see(1, 4, 9)
	require.Equal(n.t, []span{{2, 3, 0}, {5, 5, 0}}, spans(n.due(0, 3).Missing))
	require.Equal(n.t, []span{{2, 2, 0}}, spans(n.due(0, 1).Missing))
	require.Equal(n.t, []span{{2, 3, 0}, {5, 8, 0}}, spans(n.due(0, 6).Missing))
}

func postponedWaits(n numbering) {
	n.see(1, 12)
	n.postpone(event.Postponement{First: 2, Last: 4, Attempts: 1, Wait: time.Minute}, event.Postponement{First: 8, Last: 8, Attempts: 3})
	require.Equal(n.t, []span{{5, 7, 0}, {9, 11, 0}}, n.gaps(event.Missing))
	require.Equal(n.t, []span{{2, 4, 1}, {8, 8, 3}}, n.gaps(event.Retrying))
	require.Equal(n.t, []span{{8, 8, 3}}, spans(n.due(0, 10).Retry))
	sums := n.sums()
	require.Equal(n.t, []uint64{6, 4, 0}, []uint64{sums.Missing, sums.Retrying, sums.Unrecoverable})

	n.postpone(event.Postponement{First: 3, Last: 3, GiveUp: true}, event.Postponement{First: 6, Last: 8, GiveUp: true})
	require.Equal(n.t, []span{{2, 2, 1}, {4, 4, 1}}, n.gaps(event.Retrying))
	require.Equal(n.t, []span{{3, 3, 0}, {6, 7, 0}, {8, 8, 0}}, n.gaps(event.Unrecoverable))
	require.EqualValues(n.t, 4, n.sums().GivenUp)
	if n.stopped {
		n.pass(time.Minute)
		due := n.due(0, 10)
		require.Equal(n.t, []span{{2, 2, 1}, {4, 4, 1}}, spans(due.Retry))
		require.Equal(n.t, time.Minute, due.Now.Sub(due.Retry[0].Since), "the time at which it was found is kept")
	}
}

func cameIsNotPutBack(n numbering) {
	n.see(1, 6)
	n.see(3)
	asked := event.Postponement{First: 2, Last: 5, Attempts: 1}
	for range 2 { // the answer to the first may have been lost
		n.postpone(asked)
		require.Empty(n.t, n.gaps(event.Missing))
		require.Equal(n.t, []span{{2, 2, 1}, {4, 5, 1}}, n.gaps(event.Retrying))
	}
	n.see(2)
	require.Equal(n.t, []span{{4, 5, 1}}, n.gaps(event.Retrying))
	require.EqualValues(n.t, 2, n.sums().Retrying)
}

func lateNumber(n numbering) {
	n.see(1, 6)
	n.postpone(event.Postponement{First: 2, Last: 5, GiveUp: true})
	n.postpone(event.Postponement{First: 2, Last: 5, GiveUp: true})
	require.EqualValues(n.t, 4, n.sums().GivenUp)
	n.see(3)
	require.Equal(n.t, []span{{2, 2, 0}, {4, 5, 0}}, n.gaps(event.Unrecoverable))
	require.EqualValues(n.t, 3, n.sums().Unrecoverable)
}

func listHasABound(n numbering) {
	const gaps = 10_003
	n.see(evenNumbers(gaps)...)
	for first := uint64(0); first < 2*gaps; first += 1000 {
		n.postpone(event.Postponement{First: first, Last: first + 999, GiveUp: true})
	}
	sums := n.sums()
	require.EqualValues(n.t, 10_000, sums.Unrecoverable)
	require.EqualValues(n.t, gaps, sums.GivenUp)
	require.EqualValues(n.t, 3, sums.Forgotten)
	require.Equal(n.t, span{7, 7, 0}, n.gaps(event.Unrecoverable)[0])
}

// evenNumbers are so many with a hole behind each, and one that ends the last.
func evenNumbers(holes uint64) (all []uint64) {
	for i := range holes + 1 {
		all = append(all, 2*i)
	}
	return all
}

func startStays(n numbering) {
	const most, start = 200_000, 1000
	for some := range slices.Chunk(evenNumbers(most), 20_000) {
		shifted := make([]uint64, len(some))
		for i, s := range some {
			shifted[i] = start + s
		}
		n.see(shifted...)
	}
	n.see(start - 10)
	require.EqualValues(n.t, start, n.sums().First)
	require.EqualValues(n.t, most, n.sums().Missing)
	n.see(start-1, start-2)
	require.EqualValues(n.t, start-2, n.sums().First, "a neighbour takes no room")
	n.see(start + 1)
	n.see(start - 10)
	require.EqualValues(n.t, start-10, n.sums().First)
	require.EqualValues(n.t, most-1+7, n.sums().Missing)
}

func gapsGrowTogether(n numbering) {
	const most = 200_000
	for some := range slices.Chunk(evenNumbers(most-1), 20_000) {
		n.see(some...)
	}
	top := n.sums().Next
	n.see(top + 10)
	n.see(top + 5) // would split it
	n.see(top + 20)
	sums := n.sums()
	require.GreaterOrEqual(n.t, sums.Merged, uint64(2))
	require.EqualValues(n.t, most-1+20, sums.Missing, "the last gap reaches over what came")
	require.Equal(n.t, []span{{top, top + 19, 0}}, spans(n.page(top, 10)))
	n.see(top, top+1)
	require.Equal(n.t, []span{{top + 2, top + 19, 0}}, spans(n.page(top, 10)), "a gap still becomes shorter")
}

func (n numbering) page(from uint64, limit int) []event.Gap {
	n.t.Helper()
	gaps, err := n.Gaps(n.t.Context(), hookID, event.Missing, from, limit)
	require.NoError(n.t, err)
	return gaps
}

func manyWait(n numbering) {
	const gaps = 4100
	n.see(evenNumbers(gaps)...)
	n.postpone(event.Postponement{First: 0, Last: 2*4096 - 1, Attempts: 1, Wait: time.Hour})
	require.Empty(n.t, n.due(0, 10).Missing)
	n.see(1)
	require.Equal(n.t, []span{{8193, 8193, 0}}, spans(n.due(0, 1).Missing))
}

func forgottenBeginsAnew(n numbering) {
	n.see(1, 9, 1<<52)
	n.seeOf("another", 1, 3)
	n.postpone(event.Postponement{First: 2, Last: 3, GiveUp: true}, event.Postponement{First: 4, Last: 4, Attempts: 1})
	require.NoError(n.t, n.SetPace(n.t.Context(), hookID, event.Pace{Asked: 7, Pauses: 2}))
	known := n.sums()
	dropped, err := n.Forget(n.t.Context(), hookID)
	require.NoError(n.t, err)
	known.Now, dropped.Now = time.Time{}, time.Time{}
	require.Equal(n.t, known, dropped)
	require.EqualValues(n.t, 1<<52+1, dropped.Next)
	sums := n.sums()
	sums.Now = time.Time{}
	require.Equal(n.t, event.Numbers{}, sums)
	for _, kind := range event.GapKinds() {
		require.Empty(n.t, n.gaps(kind))
	}

	n.see(5000, 5003)
	require.Equal(n.t, []span{{5001, 5002, 0}}, n.gaps(event.Missing))
	other, err := n.Numbers(n.t.Context(), "another")
	require.NoError(n.t, err)
	require.EqualValues(n.t, 1, other.Missing)
}

func paceIsKept(n numbering) {
	want := event.Pace{Asked: 70, Came: 30, Pauses: 2, Until: time.UnixMilli(1_800_000_000_123)}
	require.NoError(n.t, n.SetPace(n.t.Context(), hookID, want))
	n.see(1, 3)
	got, err := n.replica.(numberStore).Numbers(n.t.Context(), hookID)
	require.NoError(n.t, err)
	require.Equal(n.t, want, got.Pace)
	require.EqualValues(n.t, 1, got.Missing)
	require.NoError(n.t, n.SetPace(n.t.Context(), hookID, event.Pace{}))
	require.Zero(n.t, n.sums().Pace)
}

func pagesOfGaps(n numbering) {
	n.see(evenNumbers(50)...)
	var all []uint64
	for from := uint64(0); ; {
		page, err := n.Gaps(n.t.Context(), hookID, event.Missing, from, 7)
		require.NoError(n.t, err)
		if len(page) == 0 {
			break
		}
		for _, g := range page {
			all = append(all, g.First)
		}
		from = all[len(all)-1] + 1
	}
	require.Len(n.t, all, 50)
	require.True(n.t, slices.IsSorted(all))
	require.Equal(n.t, []uint64{1, 99}, []uint64{all[0], all[49]})
}

// anyOrder compares with a plain set: numbers come in any order, in batches, some
// twice, while others are asked for in vain.
func anyOrder(n numbering) {
	const total = 600
	for seed := range uint64(4) {
		webhook := string(rune('a' + seed))
		rng := rand.New(rand.NewPCG(seed, seed))
		missing := map[uint64]bool{}
		numbers := []uint64{0, total}
		for _, i := range rng.Perm(total - 1) {
			if i := uint64(i + 1); rng.IntN(5) > 0 {
				numbers = append(numbers, i)
			} else {
				missing[i] = true
			}
		}
		for batch := range slices.Chunk(numbers, 1+rng.IntN(40)) {
			n.seeOf(webhook, batch...)
			n.seeOf(webhook, batch[:rng.IntN(len(batch))]...)
			first := uint64(rng.IntN(total))
			require.NoError(n.t, n.Postpone(n.t.Context(), webhook, []event.Postponement{
				{First: first, Last: first + uint64(rng.IntN(30)), Attempts: 1, Wait: time.Hour, GiveUp: rng.IntN(2) == 0},
			}))
		}
		left, counted := map[uint64]bool{}, uint64(0)
		for _, kind := range event.GapKinds() {
			gaps, err := n.Gaps(n.t.Context(), webhook, kind, 0, total)
			require.NoError(n.t, err)
			for _, g := range gaps {
				counted += g.Len()
				for i := g.First; i <= g.Last; i++ {
					require.False(n.t, left[i], "number %d is in two gaps", i)
					left[i] = true
				}
			}
		}
		require.Equal(n.t, missing, left, "seed %d", seed)
		sums, err := n.Numbers(n.t.Context(), webhook)
		require.NoError(n.t, err)
		require.Equal(n.t, counted, sums.Missing+sums.Retrying+sums.Unrecoverable)
	}
}
