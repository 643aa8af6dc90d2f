package main

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"
)

const (
	webhookID = "0123456789abcdef0123456789abcdef"

	// loadBalancer is the address that honest events come from. slowhttptest can
	// only come from 127.0.0.1, so that is an attacker's.
	loadBalancer = "127.0.0.9"

	// ratePerAddress is the one limit that a bank sets for itself: there is none by
	// default.
	ratePerAddress = 1000

	readyPatience = 30 * time.Second
	stopPatience  = 40 * time.Second
)

// gateway is the program under attack.
type gateway struct {
	secret, prefix string // of the webhook, of the topics
	public, admin  string // host:port
	certificate    []byte // PEM, of the public listener; empty: it has no TLS
	log            string
	binary         string
	cmd            *exec.Cmd
	ended          chan struct{} // closed when it has ended
}

// topics are all that it may write to.
func (g *gateway) topics() (all []string) {
	for _, name := range []string{"enrollment", "authentication", "reenrollment", "other", quarantineTopic} {
		all = append(all, g.prefix+"."+name)
	}
	return all
}

const quarantineTopic = "quarantine"

// startGateway returns when it is ready. The variables are added to those that a
// bank would set.
func startGateway(binary, dir string, s *services, variables ...string) (*gateway, error) {
	if binary == "" {
		binary = filepath.Join(dir, "gateway")
		if out, err := exec.Command("go", "build", "-o", binary, "awareid-gateway/cmd/gateway").CombinedOutput(); err != nil {
			return nil, fmt.Errorf("build the gateway: %w\n%s", err, out)
		}
	}
	g := &gateway{binary: binary, secret: newSecret(), prefix: fmt.Sprintf("abuse-%d", time.Now().UnixNano()), log: filepath.Join(dir, "gateway.log"), ended: make(chan struct{})}
	log, err := os.Create(g.log)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	g.cmd = exec.Command("chrt", asGateway, "0", binary, "serve")
	g.cmd.Env = append([]string{
		"PATH=" + os.Getenv("PATH"), "AWAREID_WEBHOOK_ID=" + webhookID, "AWAREID_WEBHOOK_SECRETS=" + g.secret,
		"HTTP_ADDR=127.0.0.1:0", "ADMIN_ADDR=127.0.0.1:0", "TRUSTED_PROXIES=" + loadBalancer,
		fmt.Sprintf("HTTP_RATE_PER_ADDRESS=%d", ratePerAddress),
		"REDIS_URL=" + s.redisURL, "KAFKA_BROKERS=" + s.brokers, "KAFKA_TOPIC_PREFIX=" + g.prefix, "SPOOL_DIR=" + filepath.Join(dir, "spool"),
	}, variables...)
	g.cmd.Stdout, g.cmd.Stderr = log, log
	g.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if err := g.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the gateway: %w", err)
	}
	go func() {
		g.cmd.Wait()
		close(g.ended)
	}()
	if err := await(readyPatience, g.ready); err != nil {
		g.kill()
		return nil, err
	}
	return g, nil
}

var listening = regexp.MustCompile(`"listener":"(public|admin)","address":"([^"]+)"`)

// ready is nil when it takes events; the log tells where.
func (g *gateway) ready() error {
	if err := g.alive(); err != nil {
		return err
	}
	log, err := os.ReadFile(g.log)
	if err != nil {
		return err
	}
	for _, m := range listening.FindAllStringSubmatch(string(log), -1) {
		if m[1] == "public" {
			g.public = m[2]
		} else {
			g.admin = m[2]
		}
	}
	if g.public == "" || g.admin == "" {
		return errors.New("the gateway does not listen yet")
	}
	answer, err := adminClient.Get("http://" + g.admin + "/readyz")
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("/readyz says %d", answer.StatusCode)
	}
	return nil
}

var errEnded = errors.New("the gateway ended by itself")

func (g *gateway) alive() error {
	select {
	case <-g.ended:
		return fmt.Errorf("%w (%v); its log ends with\n%s", errEnded, g.cmd.ProcessState, tail(g.log))
	default:
		return nil
	}
}

// stop ends it in peace, and looks how it went.
func (g *gateway) stop() error {
	if err := g.alive(); err != nil {
		return err
	}
	g.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-g.ended:
	case <-time.After(stopPatience):
		g.kill()
		return fmt.Errorf("the gateway did not end within %v", stopPatience)
	}
	if !g.cmd.ProcessState.Success() {
		return fmt.Errorf("the gateway ended with %v; its log ends with\n%s", g.cmd.ProcessState, tail(g.log))
	}
	return g.panicked()
}

// panicked looks into the log for what a metric cannot count.
func (g *gateway) panicked() error {
	log, err := os.ReadFile(g.log)
	if err != nil {
		return err
	}
	if n := strings.Count(string(log), "panic"); n > 0 {
		return fmt.Errorf("%d lines of the gateway's log speak of a panic", n)
	}
	return nil
}

func (g *gateway) kill() {
	g.cmd.Process.Kill()
	<-g.ended
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
		if err == nil || errors.Is(err, errEnded) {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("not after %v: %w", patience, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}
