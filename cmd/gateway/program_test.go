package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// patience is how long a test waits for what should happen at once.
const patience = 15 * time.Second

// program is the gateway at work, in this process or in one of its own.
type program struct {
	out, err *output
	stop     func()        // as SIGTERM does, once
	signal   func()        // SIGTERM, each time; nil in this process
	kill     func()        // SIGKILL; nil in this process
	ended    chan struct{} // closed when code is there
	code     int
}

// start runs the program in this process. It is stopped with the test.
func start(t *testing.T, environ []string, args ...string) *program {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	p := &program{out: newOutput(), err: newOutput(), stop: cancel, ended: make(chan struct{})}
	go func() {
		defer close(p.ended)
		p.code = run(ctx, args, streams{environ: environ, out: p.out, err: p.err})
	}()
	t.Cleanup(func() { p.end(t) })
	return p
}

// startProcess runs the program in a process of its own.
func startProcess(t *testing.T, environ []string, args ...string) *program {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	p := &program{out: newOutput(), err: newOutput(), ended: make(chan struct{})}
	command := exec.Command(self, args...)
	command.Env = append([]string{asProgram + "=1", "GORACE=atexit_sleep_ms=0"}, environ...) // a race detector sleeps for a second
	command.Stdout, command.Stderr = p.out, p.err
	require.NoError(t, command.Start())
	p.signal = func() { _ = command.Process.Signal(syscall.SIGTERM) } // it may have ended
	p.kill = func() { _ = command.Process.Kill() }
	p.stop = sync.OnceFunc(p.signal)
	go func() {
		defer close(p.ended)
		_ = command.Wait() // what it says is in the exit code
		p.code = command.ProcessState.ExitCode()
	}()
	t.Cleanup(func() { p.end(t) })
	return p
}

// exit waits until the program ends by itself, and returns its exit code.
func (p *program) exit(t *testing.T) int {
	t.Helper()
	select {
	case <-p.ended:
	case <-time.After(patience):
		require.FailNow(t, "the program does not end", p.lastWords())
	}
	return p.code
}

// end stops the program and returns its exit code.
func (p *program) end(t *testing.T) int {
	t.Helper()
	p.stop()
	return p.exit(t)
}

// lastWords are the ends of both outputs.
func (p *program) lastWords() string {
	const most = 2000
	out, err := p.out.String(), p.err.String()
	return out[max(0, len(out)-most):] + "\n" + err[max(0, len(err)-most):]
}

// result is what a program that ended by itself left.
type result struct {
	code     int
	out, err string
}

func runToEnd(t *testing.T, environ []string, args ...string) result {
	t.Helper()
	p := start(t, environ, args...)
	return result{p.exit(t), p.out.String(), p.err.String()}
}

func runProcess(t *testing.T, environ []string, args ...string) result {
	t.Helper()
	p := startProcess(t, environ, args...)
	return result{p.exit(t), p.out.String(), p.err.String()}
}

// lines are the lines of what was printed.
func lines(text string) []string { return strings.Split(strings.TrimSpace(text), "\n") }

// output collects what a program writes, and wakes who waits for a part of it.
type output struct {
	mu      sync.Mutex
	text    bytes.Buffer
	written chan struct{}
}

func newOutput() *output { return &output{written: make(chan struct{})} }

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	close(o.written)
	o.written = make(chan struct{})
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// await waits until n parts match, and returns the last one's submatches.
func (p *program) await(t *testing.T, o *output, n int, pattern string) []string {
	t.Helper()
	wanted, deadline := regexp.MustCompile(pattern), time.After(patience)
	for {
		o.mu.Lock()
		matches, written := wanted.FindAllStringSubmatch(o.text.String(), -1), o.written
		o.mu.Unlock()
		if len(matches) >= n {
			return matches[n-1]
		}
		select {
		case <-written:
		case <-p.ended:
			require.FailNow(t, "the program ended early", "waiting for %s\n%s", pattern, p.lastWords())
		case <-deadline:
			require.FailNow(t, "the program does not say it", "waiting for %s\n%s", pattern, p.lastWords())
		}
	}
}
