package store

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"awareid-gateway/internal/event"
)

// run is one run of a script. Its texts are arguments behind the others.
type run struct {
	keys  []string
	args  []any
	texts []string
	piled strings.Builder // that keys and texts are parts of
}

// newRun has room for so many keys and texts, and for what they are made of.
func newRun(keys, texts int, args ...any) *run {
	r := &run{keys: make([]string, 0, keys), args: args, texts: make([]string, 0, texts)}
	r.piled.Grow(keys*128 + texts*64)
	return r
}

// join makes one text of two. All of a run are in one piece of memory.
func (r *run) join(a, b string) string {
	from := r.piled.Len()
	r.piled.WriteString(a)
	r.piled.WriteString(b)
	return r.since(from)
}

// claimed is the record of a claim that is made, but for its last line: see scripts.go.
func (r *run) claimed(c *event.Claim) string {
	from := r.piled.Len()
	r.open(c.Token)
	r.place(c.Place)
	r.number(c.FromOffset)
	r.piled.WriteString("\n\n\n")
	r.line(c.Replica)
	return r.since(from)
}

// open is what the record of a token's claim begins with.
func (r *run) open(token string) string {
	from := r.piled.Len()
	r.piled.WriteString("c\n")
	r.line(token)
	return r.since(from)
}

// done is the record of a claim that is delivered.
func (r *run) done(d *event.Delivery) string {
	from := r.piled.Len()
	r.piled.WriteString("d\n")
	r.line(d.Token)
	r.place(d.Place)
	r.piled.WriteByte('\n')
	r.number(d.Offset)
	r.piled.WriteString("\n\n\n")
	return r.since(from)
}

func (r *run) place(at event.Place) {
	r.line(at.Topic)
	r.number(int64(at.Partition))
	r.piled.WriteByte('\n')
}

func (r *run) line(text string) {
	r.piled.WriteString(text)
	r.piled.WriteByte('\n')
}

func (r *run) number(n int64) {
	var digits [20]byte
	r.piled.Write(strconv.AppendInt(digits[:0], n, 10))
}

func (r *run) since(from int) string { return r.piled.String()[from:] }

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
	for i, cmd := range r.pipeline(ctx, script, evalWhole, again, behind) {
		cmds[at[i]] = cmd
	}
	return cmds
}

// eval has a script run: by its digest, or as a whole.
type eval func(ctx context.Context, p redis.Pipeliner, script *redis.Script, r *run) *redis.Cmd

// evalSha is that of the library without the allocation that it makes for each text.
func evalSha(ctx context.Context, p redis.Pipeliner, script *redis.Script, r *run) *redis.Cmd {
	all := append(make([]any, 0, 3+len(r.keys)+len(r.args)+len(r.texts)), "evalsha", script.Hash(), len(r.keys))
	for i := range r.keys {
		all = append(all, &r.keys[i])
	}
	all = append(all, r.args...)
	for i := range r.texts {
		all = append(all, &r.texts[i])
	}
	cmd := redis.NewCmd(ctx, all...)
	cmd.SetFirstKeyPos(3)
	_ = p.Process(ctx, cmd) // it only waits in line
	return cmd
}

func evalWhole(ctx context.Context, p redis.Pipeliner, script *redis.Script, r *run) *redis.Cmd {
	args := slices.Clone(r.args)
	for _, text := range r.texts {
		args = append(args, text)
	}
	return script.Eval(ctx, p, r.keys, args...)
}

func (r *Redis) pipeline(ctx context.Context, script *redis.Script, eval eval, runs []*run, behind []func(redis.Pipeliner)) []*redis.Cmd {
	pipe := r.client.Pipeline()
	cmds := make([]*redis.Cmd, len(runs))
	for i, run := range runs {
		cmds[i] = eval(ctx, pipe, script, run)
	}
	for _, add := range behind {
		add(pipe)
	}
	// Each command has its own error, and that of Exec is merely the first.
	_, _ = pipe.Exec(ctx)
	return cmds
}
