package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"awareid-gateway/internal/event"
)

// Of the transaction numbers that have come, the store keeps what lies between
// them: gaps, not numbers. A gap takes the same room whether it has one number or
// 10^12, so the distance over which numbers come out of order costs nothing; what
// costs is the count of gaps, and that has a bound. At the bound nothing is
// forgotten: a number that would split a gap is left in it, and a new gap becomes
// one with the gap below it. Numbers that came are then asked for once more, and
// are duplicates. What is known does not reach lower then, if that took a gap.
const (
	// maxGaps bounds the gaps of each set of a webhook. One takes 127 bytes of
	// Redis' memory (7.0.15).
	maxGaps = 200_000
	// maxRetrying is how many gaps wait for another request at most, or so.
	maxRetrying = 4096
	// maxUnrecoverable bounds the list of gaps that were given up. The lowest make
	// room.
	maxUnrecoverable = 10_000
	// startReach is how far below the first number another one can still show that
	// those between are missing: replicas and callbacks overtake each other.
	startReach = 1024
	// fetchedReach is the same for numbers that were fetched.
	fetchedReach = 0
	// maxRuns bounds the numbers' runs of one script, and with it how long Redis is
	// kept from everybody else.
	maxRuns = 256
)

// See notes transaction numbers that have come. It may be repeated, and the
// numbers be in any order; each is below 2^53, which is as far as Redis counts
// exactly. Those between them that have not come are missing from now on. The
// first number of a webhook shows none below it, unless others come that are at
// most 1024 below.
//
// It makes one round trip. On an error some may be noted and some not, and the
// call may be made again.
func (r *Redis) See(ctx context.Context, seen []event.Number) error {
	return r.see(ctx, runsOf(seen), startReach)
}

// SeeFetched is See for numbers that were asked for: below the first number of a
// webhook they show nothing to be missing, since nobody asked for what lies between.
func (r *Redis) SeeFetched(ctx context.Context, seen []event.Number) error {
	return r.see(ctx, runsOf(seen), fetchedReach)
}

func (r *Redis) see(ctx context.Context, runs []numberRun, reach int) error {
	if err := r.seeAll(ctx, runs, reach); err != nil {
		return fmt.Errorf("note transaction numbers in Redis: %w", err)
	}
	return nil
}

func (r *Redis) seeAll(ctx context.Context, runs []numberRun, reach int) error {
	pipe := r.client.Pipeline()
	var cmds []*redis.Cmd
	var keys [][]string
	var args [][]any
	for len(runs) > 0 {
		n := 1
		for n < len(runs) && n < maxRuns && runs[n].webhook == runs[0].webhook {
			n++
		}
		keys, args = append(keys, r.numberKeys(runs[0].webhook)), append(args, seeArgs(runs[:n], reach))
		cmds = append(cmds, seeScript.EvalSha(ctx, pipe, keys[len(keys)-1], args[len(args)-1]...))
		runs = runs[n:]
	}
	_, _ = pipe.Exec(ctx) // each command has its own error
	for i, cmd := range cmds {
		err := cmd.Err()
		if redis.HasErrorPrefix(err, "NOSCRIPT") {
			err = seeScript.Eval(ctx, r.client, keys[i], args[i]...).Err()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func seeArgs(runs []numberRun, reach int) []any {
	args := append(make([]any, 0, 2+2*len(runs)), maxGaps+2, reach) // two are the ends of what is known
	for _, run := range runs {
		args = append(args, run.first, run.last)
	}
	return args
}

// Due returns gaps that may be asked for: those that have been missing for as
// long as grace, and those whose wait for another request is over; of each kind
// at most limit numbers. Of the former there are none while too many of the
// latter wait.
func (r *Redis) Due(ctx context.Context, webhook string, grace time.Duration, limit int) (event.Due, error) {
	answer, err := dueScript.Run(ctx, r.client, r.numberKeys(webhook), grace.Milliseconds(), limit, maxRetrying).StringSlice()
	if err != nil {
		return event.Due{}, fmt.Errorf("read due transaction numbers in Redis: %w", err)
	}
	due, err := readDue(answer)
	if err != nil {
		return event.Due{}, fmt.Errorf("read due transaction numbers in Redis: %w", err)
	}
	return due, nil
}

func readDue(answer []string) (event.Due, error) {
	at, err := numbers(answer[:min(len(answer), 1)])
	if err != nil || len(at) == 0 {
		return event.Due{}, errNotAGap
	}
	due := event.Due{Now: time.UnixMilli(at[0])}
	for fields := range slices.Chunk(answer[1:], 5) {
		n, err := numbers(fields[1:])
		if err != nil || len(n) != 4 || n[0] < 0 || n[1] < n[0] {
			return event.Due{}, errNotAGap
		}
		gap := event.Gap{First: uint64(n[0]), Last: uint64(n[1]), Since: time.UnixMilli(n[2]), Attempts: int(n[3])} // #nosec G115 -- not below 0
		if event.GapKind(fields[0]) == event.Missing {
			due.Missing = append(due.Missing, gap)
		} else {
			due.Retry = append(due.Retry, gap)
		}
	}
	return due, nil
}

// Postpone notes that numbers were asked for in vain. Those of them that are
// missing or retrying wait for another request, or are given up. It may be
// repeated.
func (r *Redis) Postpone(ctx context.Context, webhook string, all []event.Postponement) error {
	args := []any{maxUnrecoverable}
	for _, p := range all {
		wait := p.Wait.Milliseconds()
		if p.GiveUp {
			wait = -1
		}
		args = append(args, p.First, p.Last, p.Attempts, wait)
	}
	if err := postponeScript.Run(ctx, r.client, r.numberKeys(webhook), args...).Err(); err != nil {
		return fmt.Errorf("postpone transaction numbers in Redis: %w", err)
	}
	return nil
}

// Gaps returns the gaps of one kind that begin at from or above, in ascending
// order, at most limit.
func (r *Redis) Gaps(ctx context.Context, webhook string, kind event.GapKind, from uint64, limit int) ([]event.Gap, error) {
	// Two more, for the ends of what is known may be among them.
	members, err := r.client.ZRangeByScoreWithScores(ctx, r.numberKey(webhook, kind), &redis.ZRangeBy{
		Min: strconv.FormatUint(from, 10), Max: "+inf", Count: int64(limit) + 2,
	}).Result()
	if err != nil {
		return nil, fmt.Errorf("read gaps in Redis: %w", err)
	}
	var gaps []event.Gap
	for _, z := range members {
		member := z.Member.(string)
		if member == "-" || member == "+" {
			continue
		}
		gap, err := readGap(uint64(z.Score), member)
		if err != nil {
			return nil, fmt.Errorf("read gaps in Redis: %w", err)
		}
		gaps = append(gaps, gap)
	}
	return gaps[:min(len(gaps), limit)], nil
}

var errNotAGap = errors.New("the answer is not a gap")

func readGap(first uint64, member string) (event.Gap, error) {
	n, err := numbers(strings.Split(member, ":"))
	if err != nil || len(n) < 2 || n[0] < 0 {
		return event.Gap{}, errNotAGap
	}
	gap := event.Gap{First: first, Last: uint64(n[0]), Since: time.UnixMilli(n[1])} // #nosec G115 -- not below 0
	if gap.Last < gap.First {
		return event.Gap{}, errNotAGap
	}
	if len(n) > 2 {
		gap.Attempts = int(n[2])
	}
	return gap, nil
}

// Numbers returns what is known of a webhook's transaction numbers.
func (r *Redis) Numbers(ctx context.Context, webhook string) (event.Numbers, error) {
	pipe := r.client.Pipeline()
	missing := r.numberKey(webhook, event.Missing)
	clock := pipe.Time(ctx)
	first, next := pipe.ZScore(ctx, missing, "-"), pipe.ZScore(ctx, missing, "+")
	sums := pipe.HGetAll(ctx, r.numberKeys(webhook)[3])
	_, _ = pipe.Exec(ctx) // each command has its own error
	for _, err := range []error{clock.Err(), first.Err(), next.Err(), sums.Err()} {
		if err != nil && !errors.Is(err, redis.Nil) {
			return event.Numbers{}, fmt.Errorf("read sums of transaction numbers in Redis: %w", err)
		}
	}
	n := event.Numbers{
		Now: clock.Val(), Begun: next.Err() == nil, First: uint64(first.Val()), Next: uint64(next.Val()),
	}
	readSums(&n, func(name string) uint64 {
		value, _ := strconv.ParseUint(sums.Val()[name], 10, 64) // one that is not there is 0
		return value
	})
	return n, nil
}

// SetPace notes how requests have gone. It outlives the process.
func (r *Redis) SetPace(ctx context.Context, webhook string, pace event.Pace) error {
	var fields []any
	writePace(pace, func(name string, value uint64) { fields = append(fields, name, value) })
	if err := r.client.HSet(ctx, r.numberKeys(webhook)[3], fields...).Err(); err != nil {
		return fmt.Errorf("note the pace in Redis: %w", err)
	}
	return nil
}

// Forget drops what is known of a webhook's transaction numbers, the pace among
// it, and returns what that was a moment before. The next number that comes is the
// first one again.
func (r *Redis) Forget(ctx context.Context, webhook string) (event.Numbers, error) {
	known, err := r.Numbers(ctx, webhook)
	if err != nil {
		return event.Numbers{}, err
	}
	if err := r.client.Unlink(ctx, r.numberKeys(webhook)...).Err(); err != nil {
		return event.Numbers{}, fmt.Errorf("forget transaction numbers in Redis: %w", err)
	}
	return known, nil
}

// numberKeys are the keys of the scripts. Braces keep them in one slot.
func (r *Redis) numberKeys(webhook string) []string {
	keys := make([]string, 0, 4)
	for _, kind := range event.GapKinds() {
		keys = append(keys, r.numberKey(webhook, kind))
	}
	return append(keys, r.numbers+"{"+webhook+"}:sums")
}

func (r *Redis) numberKey(webhook string, kind event.GapKind) string {
	return r.numbers + "{" + webhook + "}:" + string(kind)
}
