package store

import (
	"context"

	"github.com/redis/go-redis/v9"
)

// run is one run of a script.
type run struct {
	keys []string
	args []any
}

// ask runs a script that answers yes or no.
func (r *Redis) ask(ctx context.Context, script *redis.Script, key string, args ...any) (bool, error) {
	return r.runAll(ctx, script, []run{{[]string{key}, args}})[0].Bool()
}

// runAll runs a script as often as there are runs, in one round trip: in two where
// a server does not know the script yet, as after its restart. The answer of each
// run, or its error, is at the same index. What behind adds comes after the runs of
// each round trip.
func (r *Redis) runAll(ctx context.Context, script *redis.Script, runs []run, behind ...func(redis.Pipeliner)) []*redis.Cmd {
	cmds := r.pipeline(ctx, script, evalSha, runs, behind)

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

// evalSha is that of the library without the allocation that it makes for each key.
func evalSha(script *redis.Script, ctx context.Context, s redis.Scripter, keys []string, args ...any) *redis.Cmd {
	all := append(make([]any, 0, 3+len(keys)+len(args)), "evalsha", script.Hash(), len(keys))
	for i := range keys {
		all = append(all, &keys[i])
	}
	cmd := redis.NewCmd(ctx, append(all, args...)...)
	cmd.SetFirstKeyPos(3)
	_ = s.(redis.Pipeliner).Process(ctx, cmd) // it only waits in line
	return cmd
}

func (r *Redis) pipeline(ctx context.Context, script *redis.Script, eval eval, runs []run, behind []func(redis.Pipeliner)) []*redis.Cmd {
	pipe := r.client.Pipeline()
	cmds := make([]*redis.Cmd, len(runs))
	for i, run := range runs {
		cmds[i] = eval(script, ctx, pipe, run.keys, run.args...)
	}
	for _, add := range behind {
		add(pipe)
	}
	// Each command has its own error, and that of Exec is merely the first.
	_, _ = pipe.Exec(ctx)
	return cmds
}
