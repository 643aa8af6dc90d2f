package store

import (
	"context"
	"errors"

	"github.com/redis/go-redis/v9"
)

// A group is claimed with one run of a script, and confirmed with one. A cluster
// has its keys in many slots and gets a run for each key.

// maxAtOnce bounds the events of one run, and with it how long Redis is kept from
// everybody else: for about half a millisecond.
const maxAtOnce = 64

// question is what one key of a run is asked for.
type question struct {
	kind kind
	of   int // index of the call that wants to know
}

type kind int

const (
	aClaim kind = iota
	anAlias
	aQueue
)

// claimAll makes the claims of one group in one round trip.
func (r *Redis) claimAll(ctx context.Context, calls []claimCall) ([]claimAnswer, error) {
	ctx, cancel := context.WithTimeout(ctx, claimTimeout)
	defer cancel()

	// The mark is read behind the claims: what was lost before them shows.
	var mark *redis.StringCmd
	behind := func(p redis.Pipeliner) { mark = p.HGet(ctx, r.mark, "id") }
	asked := r.questions(calls)
	cmds := r.runAll(ctx, claimsScript, r.claimRuns(calls, asked), behind)
	if again := refused(asked, cmds); len(again) > 0 {
		asked = append(asked, again...)
		cmds = append(cmds, r.runAll(ctx, claimsScript, r.claimRuns(calls, again), behind)...)
	}
	memory, err := r.memoryOf(ctx, mark)
	if err != nil {
		return nil, err
	}

	answers := make([]claimAnswer, len(calls))
	for i, cmd := range cmds {
		readRun(answers, calls, asked[i], cmd)
	}
	for i := range answers {
		answers[i].claim.Memory = memory
	}
	return answers, nil
}

// questions of calls, in the order of their kinds, for each run.
func (r *Redis) questions(calls []claimCall) (runs [][]question) {
	if r.cluster {
		return apart(questionsOf(calls, 0, len(calls)))
	}
	for from := 0; from < len(calls); {
		to := from + 1
		for to < len(calls) && to-from < maxAtOnce && sameRun(&calls[from], &calls[to]) {
			to++
		}
		runs = append(runs, questionsOf(calls, from, to))
		from = to
	}
	return runs
}

func questionsOf(calls []claimCall, from, to int) []question {
	all := make([]question, 0, 3*(to-from))
	for i := from; i < to; i++ {
		all = append(all, question{aClaim, i})
	}
	for i := from; i < to; i++ {
		if calls[i].claim.Alias != "" {
			all = append(all, question{anAlias, i})
		}
	}
	for i := from; i < to; i++ {
		if calls[i].claim.Queue != "" {
			all = append(all, question{aQueue, i})
		}
	}
	return all
}

// apart has each question asked by itself.
func apart(all []question) [][]question {
	runs := make([][]question, len(all))
	for i := range all {
		runs[i] = all[i : i+1]
	}
	return runs
}

// refused takes the questions of the runs that a server refused, and has each asked
// by itself: one key that is none of ours ends the whole run, and its neighbours
// must not pay for it. What the run did before it ended is done once more, which
// changes nothing.
func refused(asked [][]question, cmds []*redis.Cmd) (again [][]question) {
	for i, cmd := range cmds {
		if len(asked[i]) > 1 && refusal(cmd.Err()) {
			again = append(again, apart(asked[i])...)
			asked[i] = nil
		}
	}
	return again
}

// refusal tells a server's answer from one that did not come.
func refusal(err error) bool {
	var answer redis.Error
	return err != nil && errors.As(err, &answer)
}

// sameRun tells whether two claims have in common what a run is told once.
func sameRun(a, b *claimCall) bool {
	return a.terms == b.terms && a.claim.Replica == b.claim.Replica
}

// claimRuns returns the runs of claimsScript that ask questions.
func (r *Redis) claimRuns(calls []claimCall, asked [][]question) []*run {
	runs := make([]*run, len(asked))
	for i, questions := range asked {
		runs[i] = r.claimRun(calls, questions)
	}
	return runs
}

func (r *Redis) claimRun(calls []claimCall, asked []question) *run {
	var count [3]int
	for _, q := range asked {
		count[q.kind]++
	}
	all := &calls[asked[0].of]
	terms := withLease(all.terms)
	to := newRun(len(asked), count[aClaim]+count[anAlias], terms.Lease.Milliseconds(), terms.TakeoverWait.Milliseconds(), terms.Keep.Milliseconds(),
		all.claim.Replica, count[aClaim], count[anAlias])
	for _, q := range asked {
		c := &calls[q.of].claim
		switch q.kind {
		case aClaim:
			to.keys = append(to.keys, to.join(r.prefix, c.Key))
			to.texts = append(to.texts, to.claimed(c))
		case anAlias:
			to.keys = append(to.keys, to.join(r.aliases, c.Alias))
			to.texts = append(to.texts, to.join(ownerOf(c.Key, c.Fetched)))
		case aQueue:
			to.keys = append(to.keys, to.join(r.queues, c.Queue))
		}
	}
	return to
}
