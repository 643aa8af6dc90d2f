package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/prometheus/procfs"
)

// process is a program that ends with this one, however that ends.
type process struct {
	name    string
	cmd     *exec.Cmd
	logFile string
	began   time.Time
	ended   chan struct{}
}

// patience is how long anything may take to begin or to end.
const patience = 60 * time.Second

// spawn starts a program with nothing in its environment but what is given.
func (l *lab) spawn(name string, environ []string, command ...string) (*process, error) {
	p := &process{name: name, logFile: filepath.Join(l.dir, name+".log"), ended: make(chan struct{})}
	log, err := os.OpenFile(p.logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	p.cmd = exec.Command(command[0], command[1:]...)
	p.cmd.Env = append([]string{"PATH=" + os.Getenv("PATH")}, environ...)
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	p.began = time.Now()
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() {
		p.cmd.Wait()
		close(p.ended)
	}()
	return p, nil
}

// stop lets the program end by itself, but not for ever.
func (p *process) stop() {
	p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(patience):
		p.cmd.Process.Kill()
		<-p.ended
	}
}

// cpu is what the program has used so far, in itself and in the kernel, to 10 ms.
func (p *process) cpu() (time.Duration, error) {
	proc, err := procfs.NewProc(p.cmd.Process.Pid)
	if err != nil {
		return 0, err
	}
	stat, err := proc.Stat()
	return time.Duration(stat.CPUTime() * float64(time.Second)), err
}

// peak is the most memory that the program has had, in bytes.
func (p *process) peak() (uint64, error) {
	proc, err := procfs.NewProc(p.cmd.Process.Pid)
	if err != nil {
		return 0, err
	}
	status, err := proc.NewStatus()
	return status.VmHWM, err
}

// await repeats a question until its answer is nil, the program has ended, or
// the patience is over.
func (p *process) await(pause time.Duration, ask func() error) error {
	for deadline := time.Now().Add(patience); ; {
		err := ask()
		if err == nil {
			return nil
		}
		select {
		case <-p.ended:
			return fmt.Errorf("%s ended by itself (%v); its log ends with\n%s", p.name, p.cmd.ProcessState, p.tail())
		case <-time.After(pause):
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s: not after %v: %w", p.name, patience, err)
		}
	}
}

func (p *process) tail() string {
	b, err := os.ReadFile(p.logFile)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	return strings.Join(lines[max(0, len(lines)-15):], "\n")
}

// freeAddr is an address on loopback that nobody listens on just now.
func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

var adminClient = http.Client{Timeout: 5 * time.Second}

// ready is nil where /readyz says so.
func ready(admin string) error {
	answer, err := adminClient.Get("http://" + admin + "/readyz")
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("/readyz says %d", answer.StatusCode)
	}
	return nil
}

// metrics are the counters and gauges without labels, by name.
func metrics(admin string) (map[string]float64, error) {
	answer, err := adminClient.Get("http://" + admin + "/metrics")
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(answer.Body)
	if err != nil {
		return nil, fmt.Errorf("read metrics: %w", err)
	}
	values := make(map[string]float64, len(families))
	for name, family := range families {
		if m := family.Metric; len(m) == 1 && len(m[0].Label) == 0 {
			values[name] = m[0].GetGauge().GetValue() + m[0].GetCounter().GetValue() + m[0].GetUntyped().GetValue()
		}
	}
	return values, nil
}
