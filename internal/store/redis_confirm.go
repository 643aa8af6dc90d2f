package store

import (
	"context"
	"fmt"
	"math"

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
	add := func(claimed, aliased []event.Delivery, all *event.Delivery) {
		runs, claims = append(runs, r.confirmRun(claimed, aliased, all)), append(claims, len(claimed))
	}
	if !apart {
		for len(done) > 0 {
			n := 1
			for n < min(len(done), maxAtOnce) && done[n].Read == done[0].Read && done[n].Keep == done[0].Keep {
				n++
			}
			add(done[:n], done[:n], &done[0])
			done = done[n:]
		}
		return runs, claims
	}
	for i := range done {
		add(done[i:i+1], nil, &done[i])
	}
	for i := range done {
		if done[i].Alias != "" {
			add(nil, done[i:i+1], &done[i])
		}
	}
	return runs, claims
}

// confirmRun is one of deliveries that have in common what a run is told once.
func (r *Redis) confirmRun(claimed, aliased []event.Delivery, all *event.Delivery) *run {
	to := newRun(len(claimed)+len(aliased), 2*len(claimed)+len(aliased),
		len(claimed), all.Keep.Milliseconds(), all.Read, heldUntil(claimed))
	for i := range claimed {
		d := &claimed[i]
		to.keys = append(to.keys, to.join(r.prefix, d.Key))
		to.texts = append(to.texts, to.open(d.Token), to.done(d))
	}
	for i := range aliased {
		d := &aliased[i]
		if d.Alias != "" {
			to.keys = append(to.keys, to.join(r.aliases, d.Alias))
			to.texts = append(to.texts, to.join(ownerOf(d.Key, d.Fetched)))
		}
	}
	return to
}

// heldUntil is when the first of the leases ends; 0: of one that is not known.
func heldUntil(done []event.Delivery) int64 {
	first := int64(math.MaxInt64)
	for i := range done {
		if done[i].LeaseUntil.IsZero() {
			return 0
		}
		first = min(first, done[i].LeaseUntil.UnixMilli())
	}
	return first
}
