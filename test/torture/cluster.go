package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"
)

const (
	gatewayCount = 2
	webhookID    = "0123456789abcdef0123456789abcdef"
	patience     = 90 * time.Second
)

// cluster is everything that is tortured.
type cluster struct {
	secret   string // of the webhook
	redis    *redisServer
	kafka    kafka
	gateways []*gateway
}

// kafka is a cluster of brokers.
type kafka interface {
	start() error
	stop()
	alive() error                    // not where it ended by itself
	ready(ctx context.Context) error // nil when every partition has all its replicas
	addrs() []string                 // for those who are no part of the torture
	addrsFor(gateway int) []string   // for a gateway
	faults() []fault                 // what can befall it
}

func newCluster(o options, dir string) (*cluster, error) {
	c := &cluster{secret: newSecret()}
	bench, err := newBench(dir)
	if err != nil {
		return nil, err
	}
	if c.redis, err = newRedis(bench, o.broker == fake); err != nil {
		return nil, err
	}
	if o.broker == fake {
		c.kafka, err = newFakeKafka()
	} else {
		c.kafka, err = newRealKafka(bench)
	}
	if err != nil {
		return nil, err
	}
	return c, c.addGateways(bench, o)
}

func newSecret() string {
	var b [32]byte
	rand.Read(b[:])
	return base64.StdEncoding.EncodeToString(b[:])
}

// start returns when everything is ready.
func (c *cluster) start() error {
	if err := errors.Join(c.redis.start(), c.kafka.start()); err != nil {
		return err
	}
	if err := await(patience, func() error { return errors.Join(c.alive(), c.servicesReady()) }); err != nil {
		return err
	}
	for _, g := range c.gateways {
		if err := g.start(); err != nil {
			return err
		}
	}
	return await(patience, c.ready)
}

// stop ends everything at once.
func (c *cluster) stop() {
	for _, g := range c.gateways {
		g.stop()
	}
	c.kafka.stop()
	c.redis.stop()
}

// ready is nil when everything is as it was at the start.
func (c *cluster) ready() error {
	if err := errors.Join(c.alive(), c.servicesReady()); err != nil {
		return err
	}
	for _, g := range c.gateways {
		if err := g.ready(); err != nil {
			return err
		}
	}
	return nil
}

// alive is errHopeless where something ended by itself.
func (c *cluster) alive() error {
	err := errors.Join(c.redis.alive(), c.kafka.alive())
	for _, g := range c.gateways {
		err = errors.Join(err, g.alive())
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errHopeless, err)
	}
	return nil
}

func (c *cluster) servicesReady() error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := c.redis.ready(ctx); err != nil {
		return fmt.Errorf("ask Redis: %w", err)
	}
	if err := c.kafka.ready(ctx); err != nil {
		return fmt.Errorf("ask Kafka: %w", err)
	}
	return nil
}

// faults is all that can befall it.
func (c *cluster) faults() []fault {
	return slices.Concat(c.gatewayFaults(), c.redis.faults(), c.kafka.faults())
}

// spooled is how many events wait in spools.
func (c *cluster) spooled() (entries int, err error) {
	for _, g := range c.gateways {
		n, err := g.metric("gateway_spool_entries")
		if err != nil {
			return 0, err
		}
		entries += int(n)
	}
	return entries, nil
}

// bench is where programs are put up.
type bench struct {
	dir  string
	port int // the next
}

// portsNeeded is more than all programs and links take.
const portsNeeded = 100

// newBench looks for consecutive ports that nothing answers on, below those that
// systems take for outgoing connections: a program that is started again must
// find its port free.
func newBench(dir string) (*bench, error) {
	for range 100 {
		first := 20000 + mathrand.IntN(12000)
		if allFree(first, portsNeeded) {
			return &bench{dir, first}, nil
		}
	}
	return nil, fmt.Errorf("no %d consecutive ports are free", portsNeeded)
}

func allFree(first, n int) bool {
	for port := first; port < first+n; port++ {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			return false
		}
		l.Close()
	}
	return true
}

// addr is a new address.
func (b *bench) addr() string {
	b.port++
	return fmt.Sprintf("127.0.0.1:%d", b.port-1)
}

func (b *bench) process(name string, command ...string) *process {
	return &process{name: name, command: command, logFile: filepath.Join(b.dir, name+".log")}
}

func (b *bench) folder(name string) (string, error) {
	path := filepath.Join(b.dir, name)
	return path, os.MkdirAll(path, 0o700)
}
