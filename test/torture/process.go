package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// process is a program that this one starts, stops and starts again, on the
// same data. It ends with this program, however that ends.
type process struct {
	name    string
	command []string
	environ []string // nil: this program's
	logFile string

	mu    sync.Mutex
	cmd   *exec.Cmd     // nil while it is not meant to run
	ended chan struct{} // closed when cmd has ended
}

func (p *process) start() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	log, err := os.OpenFile(p.logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(p.command[0], p.command[1:]...)
	cmd.Env, cmd.Stdout, cmd.Stderr = p.environ, log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", p.name, err)
	}
	ended := make(chan struct{})
	p.cmd, p.ended = cmd, ended
	go func() {
		cmd.Wait()
		close(ended)
	}()
	return nil
}

func (p *process) suspend() error { return p.signal(syscall.SIGSTOP) }
func (p *process) resume() error  { return p.signal(syscall.SIGCONT) }

// signal sends a signal to the program, if it runs.
func (p *process) signal(s syscall.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return nil
	}
	return p.cmd.Process.Signal(s)
}

func (p *process) kill() error {
	_, err := p.end(syscall.SIGKILL, patience)
	return err
}

// end sends a signal and waits for the end, which SIGKILL brings about after
// the patience. It returns how long that took.
func (p *process) end(s syscall.Signal, patience time.Duration) (time.Duration, error) {
	p.mu.Lock()
	cmd, ended := p.cmd, p.ended
	p.cmd = nil
	p.mu.Unlock()
	if cmd == nil {
		return 0, nil
	}
	began := time.Now()
	cmd.Process.Signal(s)
	select {
	case <-ended:
		return time.Since(began), nil
	case <-time.After(patience):
		cmd.Process.Kill()
		<-ended
		return time.Since(began), fmt.Errorf("%s did not end within %v of signal %v", p.name, patience, s)
	}
}

// alive is an error where the program ended by itself.
func (p *process) alive() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return nil
	}
	select {
	case <-p.ended:
		return fmt.Errorf("%s ended by itself (%v); its log ends with\n%s", p.name, p.cmd.ProcessState, tail(p.logFile))
	default:
		return nil
	}
}

func tail(file string) string {
	b, err := os.ReadFile(file)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	return strings.Join(lines[max(0, len(lines)-15):], "\n")
}

// await repeats a question until its answer is nil, but not for ever.
func await(patience time.Duration, ask func() error) error {
	deadline := time.Now().Add(patience)
	for {
		err := ask()
		if err == nil || errors.Is(err, errHopeless) {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("not after %v: %w", patience, err)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

var errHopeless = errors.New("it will not get better")
