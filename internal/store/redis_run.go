package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/redis/go-redis/v9"

	"awareid-gateway/internal/event"
)

// run is one run of a script on one key, and a look at whether another key is
// there in the same round trip.
type run struct {
	script *redis.Script // nil: that of the round trip
	key    string
	args   []any
	beside string        // "": no look
	found  *redis.IntCmd // 1 if it is there; nil without a look
}

// ask runs a script that answers yes or no.
func (r *Redis) ask(ctx context.Context, script *redis.Script, key string, args ...any) (bool, error) {
	return r.runAll(ctx, script, []run{{key: key, args: args}})[0].Bool()
}

// runAll runs a script on each key, in one round trip: in two where a server does
// not know the script yet, as after its restart. The answer of each run, or its
// error, is at the same index. What behind adds comes after the runs of each
// round trip.
func (r *Redis) runAll(ctx context.Context, script *redis.Script, runs []run, behind ...func(redis.Pipeliner)) []*redis.Cmd {
	cmds := r.pipeline(ctx, script, (*redis.Script).EvalSha, runs, behind)

	var again []run
	var at []int
	for i, cmd := range cmds {
		if redis.HasErrorPrefix(cmd.Err(), "NOSCRIPT") {
			again, at = append(again, runs[i]), append(at, i) // #nosec G602 -- a command for each run
		}
	}
	if len(again) == 0 {
		return cmds
	}
	for i, cmd := range r.pipeline(ctx, script, (*redis.Script).Eval, again, behind) {
		cmds[at[i]] = cmd
	}
	return cmds
}

type eval func(script *redis.Script, ctx context.Context, s redis.Scripter, keys []string, args ...any) *redis.Cmd

func (r *Redis) pipeline(ctx context.Context, script *redis.Script, eval eval, runs []run, behind []func(redis.Pipeliner)) []*redis.Cmd {
	pipe := r.client.Pipeline()
	cmds := make([]*redis.Cmd, len(runs))
	for i, run := range runs {
		cmds[i] = eval(cmp.Or(run.script, script), ctx, pipe, []string{run.key}, run.args...)
		if run.beside != "" {
			runs[i].found = pipe.Exists(ctx, run.beside)
		}
	}
	for _, add := range behind {
		add(pipe)
	}
	// Each command has its own error, and that of Exec is merely the first.
	_, _ = pipe.Exec(ctx)
	return cmds
}

var verdicts = map[string]event.Verdict{
	"granted":   event.Granted,
	"inherited": event.Inherited,
	"busy":      event.Busy,
	"delivered": event.Delivered,
}

// readClaim reads the answer of claimScript.
func readClaim(key string, cmd *redis.Cmd) claimAnswer {
	fields, err := cmd.StringSlice()
	if err != nil {
		return claimAnswer{err: err}
	}
	if len(fields) != 9 {
		return claimAnswer{err: fmt.Errorf("record of %d fields", len(fields))}
	}
	n, err := numbers(fields[4:8])
	verdict := verdicts[fields[8]]
	if err != nil || verdict == 0 {
		return claimAnswer{err: errors.New("record cannot be read")}
	}

	rec := record{
		Token: fields[0], State: event.State(fields[1]), Replica: fields[2],
		Topic: fields[3], Partition: int(n[0]),
		FromOffset: n[1], Offset: n[2], LeaseUntil: n[3],
	}
	return claimAnswer{claim: rec.event(key), verdict: verdict}
}

// numbers reads whole numbers; a field that is not there is 0.
func numbers(fields []string) ([]int64, error) {
	n := make([]int64, len(fields))
	for i, field := range fields {
		if field == "" {
			continue
		}
		var err error
		if n[i], err = strconv.ParseInt(field, 10, 64); err != nil {
			return nil, err
		}
	}
	return n, nil
}
