package spool_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"awareid-gateway/internal/spool"
)

// childEnv names what this binary is to do instead of testing, and where.
const (
	childEnv = "SPOOL_TEST_CHILD"
	dirEnv   = "SPOOL_TEST_DIR"
)

func TestMain(m *testing.M) {
	switch os.Getenv(childEnv) {
	case "hold":
		exit(hold(os.Getenv(dirEnv)))
	case "append":
		exit(appendUntilKilled(os.Getenv(dirEnv)))
	}
	goleak.VerifyTestMain(m)
}

func exit(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// hold keeps the spool open until its standard input ends.
func hold(dir string) error {
	if _, err := spool.Open(dir, options()); err != nil {
		return err
	}
	fmt.Println("open")
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}

// appendUntilKilled prints number and body of each entry that is acknowledged.
func appendUntilKilled(dir string) error {
	l, err := spool.Open(dir, options())
	if err != nil {
		return err
	}
	const workers = 4
	errs := make(chan error, workers)
	var mu sync.Mutex
	for worker := range workers {
		go func() {
			for i := 0; ; i++ {
				body := fmt.Sprintf("pid-%d-worker-%d-entry-%d", os.Getpid(), worker, i)
				sequence, err := l.Append(context.Background(), []byte(body))
				if err != nil {
					errs <- err
					return
				}
				mu.Lock()
				fmt.Printf("%d %s\n", sequence, body)
				mu.Unlock()
			}
		}()
	}
	return <-errs
}

// child is this binary at work on a spool, until it is killed.
type child struct {
	cmd   *exec.Cmd
	lines *bufio.Reader
}

func startChild(t *testing.T, task, dir string) *child {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+task, dirEnv+"="+dir)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = stdin.Close()
		if cmd.ProcessState == nil {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	})
	return &child{cmd, bufio.NewReader(stdout)}
}

// line is the next whole line, false at the end.
func (c *child) line() (string, bool) {
	line, err := c.lines.ReadString('\n')
	return line, err == nil
}

// kill ends the process with SIGKILL, and returns the lines that nobody read.
func (c *child) kill(t *testing.T) []string {
	t.Helper()
	require.NoError(t, c.cmd.Process.Kill())
	var rest []string
	for line, ok := c.line(); ok; line, ok = c.line() {
		rest = append(rest, line)
	}
	require.Error(t, c.cmd.Wait(), "it was to be killed, not to end")
	return rest
}
