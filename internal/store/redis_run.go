package store

import (
	"context"
	"strings"

	"github.com/redis/go-redis/v9"
)

// run is one run of a script.
type run struct {
	keys []string
	args []any
	text strings.Builder // that keys and arguments are parts of
}

// newRun has room for so many keys and other arguments, and for their text.
func newRun(keys, args int) *run {
	r := &run{keys: make([]string, 0, keys), args: make([]any, 0, args)}
	r.text.Grow(keys * 128)
	return r
}

// join makes one text of two. All of a run are in one piece of memory.
func (r *run) join(a, b string) string {
	at := r.text.Len()
	r.text.WriteString(a)
	r.text.WriteString(b)
	return r.text.String()[at:]
}

// ask runs a script that answers yes or no.
func (r *Redis) ask(ctx context.Context, script *redis.Script, key string, args ...any) (bool, error) {
	return r.runAll(ctx, script, []*run{{keys: []string{key}, args: args}})[0].Bool()
}

// runAll runs a script as often as there are runs, in one round trip: in two where
// a server does not know the script yet, as after its restart. The answer of each
// run, or its error, is at the same index. What behind adds comes after the runs of
// each round trip.
func (r *Redis) runAll(ctx context.Context, script *redis.Script, runs []*run, behind ...func(redis.Pipeliner)) []*redis.Cmd {
	cmds := r.pipeline(ctx, script, evalSha, runs, behind)

	var again []*run
	var at []int
	for i, cmd := range cmds {
		if err := cmd.Err(); err != nil && redis.HasErrorPrefix(err, "NOSCRIPT") {
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

func (r *Redis) pipeline(ctx context.Context, script *redis.Script, eval eval, runs []*run, behind []func(redis.Pipeliner)) []*redis.Cmd {
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
