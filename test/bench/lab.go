package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// The variables in which test/real.sh names a real Redis and a real Kafka.
const (
	redisVariable = "TEST_REDIS_URL"
	kafkaVariable = "TEST_KAFKA_BROKERS"
)

// lab is where servers are put up and measured.
type lab struct {
	options
	dir    string // of logs, spools and programs
	self   string // this program
	secret string // of the one webhook

	filled map[int]string // URL of a Redis that remembers so many ids
	atEnd  []func()
}

func newLab(o options) (*lab, error) {
	if !o.fake && (os.Getenv(redisVariable) == "" || os.Getenv(kafkaVariable) == "") {
		return nil, fmt.Errorf("%s and %s name no real Redis and Kafka: run this in test/real.sh, or with -fake", redisVariable, kafkaVariable)
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "gateway-bench.")
	if err != nil {
		return nil, err
	}
	l := &lab{options: o, dir: dir, self: self, secret: newSecret(), filled: map[int]string{}}
	if l.gateway == "" {
		err = l.build()
	}
	return l, err
}

// close leaves the logs of a session that was not as it should be.
func (l *lab) close(ok bool) {
	for _, do := range l.atEnd {
		do()
	}
	if !ok {
		fmt.Fprintln(os.Stderr, "logs are in", l.dir)
		return
	}
	os.RemoveAll(l.dir)
}

// build makes the gateway as make build does. To be profiled it gets one more
// file, which is no part of the product.
func (l *lab) build() error {
	l.gateway = filepath.Join(l.dir, "gateway")
	args := []string{"build", "-trimpath", "-o", l.gateway}
	if l.profile > 0 {
		overlay, err := l.overlay()
		if err != nil {
			return err
		}
		args = append(args, "-overlay", overlay)
	}
	build := exec.Command("go", append(args, "./cmd/gateway")...)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build the gateway: %w\n%s", err, out)
	}
	return nil
}

func newSecret() string {
	var b [32]byte
	rand.Read(b[:])
	return base64.StdEncoding.EncodeToString(b[:])
}

// newID is a webhook id that nobody has had.
func newID() string {
	var b [16]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// place is the command of a measured server on the CPUs that it may use.
func (l *lab) place(command ...string) []string {
	if l.cpus == "" {
		return command
	}
	return append([]string{"taskset", "-c", l.cpus}, command...)
}

// server is one that is measured, at work.
type server struct {
	*process
	public, admin string
	profiled      string     // address of its profiles, if it has them
	extra         []string   // its environment
	topics        *topics    // that it writes to; nil: none
	backs         []*process // what it stands on, and ends with it
}

// end stops it, as far as it has begun, and deletes its topics.
func (s *server) end(ctx context.Context) (err error) {
	if s.process != nil {
		s.stop()
	}
	if s.topics != nil {
		err = s.topics.drop(context.WithoutCancel(ctx))
	}
	for _, b := range s.backs {
		b.stop()
	}
	return err
}

// newServer chooses its addresses.
func newServer() (*server, error) {
	public, err := freeAddr()
	admin, err2 := freeAddr()
	return &server{public: public, admin: admin}, errors.Join(err, err2)
}

// rival is a kind of server.
type rival struct {
	name  string
	start starter
	judge func(status int, answer []byte, sent callback) error
	again bool // events may repeat
}

// starter returns a server that is ready. With an error it may return one that
// has begun.
type starter func(ctx context.Context, s setting) (*server, error)

// begin returns a server that is ready, or leaves nothing behind.
func (r rival) begin(ctx context.Context, set setting) (*server, error) {
	s, err := r.start(ctx, set)
	if err == nil {
		return s, nil
	}
	if s != nil {
		err = errors.Join(err, s.end(ctx))
	}
	return nil, fmt.Errorf("start %s: %w", r.name, err)
}

// setting is what a gateway is told beside the usual.
type setting struct {
	webhooks   []string // names; nil: the one webhook
	secrets    []string // of the same
	partitions int      // of one topic for all events; 0: the usual topics
	redis      string   // URL, in place of the usual one
	file       string   // of the embedded store, in place of Redis
}

// What the others are compared with.
const (
	bareFiber   = "bare Fiber"
	verifyParse = "verify+parse"
)

// rivals are the servers to compare, the simplest first.
func (l *lab) rivals() []rival {
	return append([]rival{
		{bareFiber, func(context.Context, setting) (*server, error) { return l.baseline(asBare) }, wantsOK, true},
		{verifyParse, func(context.Context, setting) (*server, error) { return l.baseline(asVerified, l.secret) }, wantsAccepted, true},
	}, l.gateways()...)
}

// gateways are the gateway in its surroundings.
func (l *lab) gateways() []rival {
	fakes := rival{"gateway, miniredis+kfake", l.onFakes, wantsAccepted, false}
	if l.fake {
		return []rival{fakes}
	}
	return []rival{
		fakes,
		{"gateway, Redis+kfake", l.onKfake, wantsAccepted, false},
		{"gateway, Redis+Kafka", l.onReal, wantsAccepted, false},
	}
}

func (l *lab) baseline(part string, args ...string) (*server, error) {
	s, err := newServer()
	if err != nil {
		return nil, err
	}
	command := l.place(append([]string{l.self, actAs, part, s.public, s.admin}, args...)...)
	if s.process, err = l.spawn(part, l.environ, command...); err != nil {
		return nil, err
	}
	return s, s.await(pollEvery, func() error { return ready(s.admin) })
}
