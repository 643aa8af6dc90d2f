package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"
)

// attack is one way to harm a gateway. It runs until the context ends, or for one
// pass where its target says so, and reports what came of it.
type attack struct {
	name     string
	imitates string
	run      func(ctx context.Context, t target, r *report)
	answers  []int  // statuses that it may get; none: a connection that ends without one
	program  string // that it needs
	atLeast  strength
	lasts    time.Duration // at least, whatever the length of the others
}

// strength is how much of an attack took place. Less than an attack's own shows
// nothing of the gateway.
type strength struct {
	Connections int `json:"connections,omitempty"` // at once, by the gateway's own gauge
	Requests    int `json:"requests,omitempty"`    // answered or cut off; of churn, connections made
}

// within is as much of it as finds room among so many connections, of which a gateway
// keeps a tenth for trusted proxies, and the honest have some.
func (s strength) within(connections int) strength {
	s.Connections = min(s.Connections, connections*5/6)
	return s
}

// none stands for the absence of an answer.
const none = 0

func attacks() []attack {
	return slices.Concat(slowAttacks(), slowhttptestAttacks(), connectionAttacks(), floods(), shapeAttacks())
}

func attackNamed(name string) (attack, error) {
	all := attacks()
	i := slices.IndexFunc(all, func(a attack) bool { return a.name == name })
	if i < 0 {
		return attack{}, fmt.Errorf("no attack is named %q", name)
	}
	return all[i], nil
}

// target is what an attack is made on.
type target struct {
	Addr        string        // host:port
	Secret      string        // of the webhook, for what is signed correctly and yet hostile
	Length      time.Duration // 0: one pass
	Certificate []byte        // PEM; empty: it has no TLS
}

// job is what a process that attacks is told, in a variable.
type job struct {
	Attack string
	Target target
}

const jobVariable = "ABUSE_JOB"

// attackAsToldBy attacks, and prints the report in JSON.
func attackAsToldBy(text string) (code int) {
	var j job
	err := json.Unmarshal([]byte(text), &j)
	if err == nil {
		var a attack
		if a, err = attackNamed(j.Attack); err == nil {
			ctx, cancel := context.WithTimeout(context.Background(), j.Target.Length)
			defer cancel()
			r := newReport(a.answers)
			a.run(ctx, j.Target, r)
			err = json.NewEncoder(os.Stdout).Encode(r.result())
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// attackTime is added to an attack's length for its beginning and its end.
const attackTime = 30 * time.Second

// command is the attack as a process of its own.
func (a attack) command(ctx context.Context, t target) (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(job{a.name, t})
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, "chrt", asAttacker, "0", self)
	cmd.Env = append(os.Environ(), jobVariable+"="+string(text))
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd, nil
}

// runApart attacks from a process of its own, and returns its result.
func (a attack) runApart(ctx context.Context, t target) (result, error) {
	ctx, cancel := context.WithTimeout(ctx, t.Length+attackTime)
	defer cancel()
	cmd, err := a.command(ctx, t)
	if err != nil {
		return result{}, err
	}
	out, err := cmd.Output()
	if err != nil {
		return result{}, fmt.Errorf("attack %s: %w", a.name, cmp.Or(ctx.Err(), err))
	}
	var r result
	if err := json.Unmarshal(out, &r); err != nil {
		return r, fmt.Errorf("attack %s: read its report: %w: %s", a.name, err, strings.TrimSpace(string(out)))
	}
	return r, nil
}

// time is how long it goes on where honest events are judged for a length.
func (a attack) time(length time.Duration) time.Duration {
	if a.atLeast.Connections > 0 {
		return rampTime + length
	}
	return length
}

// missing says whether a program that the attack needs is not installed.
func (a attack) missing() bool {
	if a.program == "" {
		return false
	}
	_, err := exec.LookPath(a.program)
	return err != nil
}
