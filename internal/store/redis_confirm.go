package store

import (
	"context"
	"fmt"
	"slices"
	"time"

	"awareid-gateway/internal/event"
)

// Confirm notes that events are in Kafka, all in one round trip. It answers for
// each, at the same index, true, or false if somebody else holds the claim by
// now. A claim that Redis has lost is written anew. One that was Read ends
// somebody else's claim: that attempt may know of no record, and its successor
// would look for one in too short a part of the partition. An alias belongs to
// the delivered event from then on, whatever the answer.
//
// On an error nothing is answered for any of them. What was noted stays noted,
// and the same call may be made again. It returns ErrInvalid before it notes any.
func (r *Redis) Confirm(ctx context.Context, done []event.Delivery) ([]bool, error) {
	if err := checkDeliveries(done); err != nil {
		return nil, err
	}
	oks, err := r.confirm(ctx, done, r.cluster)
	if refusal(err) && !r.cluster {
		oks, err = r.confirm(ctx, done, true)
	}
	if err != nil {
		return nil, fmt.Errorf("confirm claims in Redis: %w", err)
	}
	return oks, nil
}

// confirm has each key confirmed by itself, or all together.
func (r *Redis) confirm(ctx context.Context, done []event.Delivery, apart bool) ([]bool, error) {
	runs, claims := r.confirmRuns(done, apart)
	oks := make([]bool, 0, len(done))
	for i, cmd := range r.runAll(ctx, confirmsScript, runs) {
		replies, err := cmd.Slice()
		if err == nil && len(replies) != len(runs[i].keys) {
			err = fmt.Errorf("%d answers to %d keys", len(replies), len(runs[i].keys))
		}
		if err != nil {
			return nil, err
		}
		for _, reply := range replies[:claims[i]] {
			oks = append(oks, reply == int64(1))
		}
	}
	return oks, nil
}

// confirmRuns returns the runs of confirmsScript, and how many claims each is of.
func (r *Redis) confirmRuns(done []event.Delivery, apart bool) (runs []*run, claims []int) {
	add := func(claimed, aliased []event.Delivery) {
		runs, claims = append(runs, r.confirmRun(claimed, aliased)), append(claims, len(claimed))
	}
	if !apart {
		for some := range slices.Chunk(done, maxAtOnce) {
			add(some, some)
		}
		return runs, claims
	}
	for i := range done {
		add(done[i:i+1], nil)
	}
	for i := range done {
		if done[i].Alias != "" {
			add(nil, done[i:i+1])
		}
	}
	return runs, claims
}

func (r *Redis) confirmRun(claimed, aliased []event.Delivery) *run {
	n := len(claimed) + len(aliased)
	to := newRun(n, 1+6*n)
	to.args = append(to.args, len(claimed))
	var kept keeping
	for i := range claimed {
		d := &claimed[i]
		to.keys = append(to.keys, to.join(r.prefix, d.Key))
		to.args = append(to.args, &d.Token, &d.Topic, &d.Partition, &d.Offset, kept.of(d.Keep), d.Read)
	}
	for i := range aliased {
		d := &aliased[i]
		if d.Alias != "" {
			to.keys = append(to.keys, to.join(r.aliases, d.Alias))
			to.args = append(to.args, to.join(ownerOf(d.Key, d.Fetched)), kept.of(d.Keep))
		}
	}
	return to
}

// keeping makes one argument of a time for all who have the same.
type keeping struct {
	time time.Duration
	arg  any
}

func (k *keeping) of(d time.Duration) any {
	if k.arg == nil || d != k.time {
		k.time, k.arg = d, d.Milliseconds()
	}
	return k.arg
}
