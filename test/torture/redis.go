package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
)

// redisServer is a Redis that syncs every write, or one in this process, which
// can only be cut off and emptied.
type redisServer struct {
	*process // nil: mini
	mini     *miniredis.Miniredis
	data     string
	addr     string
	ways     []*link // by gateway
}

// newRedis settles for one in this process where there is no other and that is
// good enough.
func newRedis(b *bench, anyWillDo bool) (*redisServer, error) {
	data, err := b.folder("redis")
	if err != nil {
		return nil, err
	}
	r := &redisServer{data: data, addr: b.addr()}
	if _, err := exec.LookPath("redis-server"); err != nil && anyWillDo {
		r.mini = miniredis.NewMiniRedis()
	} else {
		_, port := hostPort(r.addr)
		r.process = b.process("redis", "redis-server", "--bind", "127.0.0.1", "--port", port, "--dir", data,
			"--save", "", "--appendonly", "yes", "--appendfsync", "always", "--maxmemory-policy", "noeviction")
	}
	for i := range gatewayCount {
		r.ways = append(r.ways, newLink(b, "Redis", i, r.addr))
	}
	return r, nil
}

func (r *redisServer) addrFor(gateway int) string { return r.ways[gateway].listen }

func (r *redisServer) start() error {
	var err error
	if r.mini == nil {
		err = r.process.start()
	} else if err = r.mini.StartAddr(r.addr); err == nil {
		go r.passTime()
	}
	for _, l := range r.ways {
		err = errors.Join(err, l.open())
	}
	return err
}

// passTime lets keys expire, which miniredis leaves to its user.
func (r *redisServer) passTime() {
	const step = 100 * time.Millisecond
	for range time.Tick(step) {
		r.mini.FastForward(step)
	}
}

func (r *redisServer) String() string {
	if r.mini != nil {
		return "miniredis"
	}
	return "redis-server, appendfsync always"
}

func (r *redisServer) stop() {
	for _, l := range r.ways {
		l.cut()
	}
	if r.mini == nil {
		r.end(syscall.SIGKILL, patience)
	} else {
		r.mini.Close()
	}
}

func (r *redisServer) alive() error {
	if r.mini == nil {
		return r.process.alive()
	}
	return nil
}

func (r *redisServer) ready(ctx context.Context) error {
	client := redis.NewClient(&redis.Options{Addr: r.addr})
	defer client.Close()
	return client.Ping(ctx).Err()
}

func (r *redisServer) faults() []fault {
	faults := networkFaults("Redis", func(d draw) (links []*link) {
		for _, g := range d.gateways() {
			links = append(links, r.ways[g])
		}
		return links
	})
	own := func(do func(d draw) func() error) drawing {
		return func(d draw) harm { return harm{targets: []string{"Redis"}, do: do(d)} }
	}
	if r.mini != nil {
		return append(faults, fault{"empty Redis", own(func(draw) func() error { return r.flush })})
	}
	return append(faults,
		fault{"suspend Redis", own(func(d draw) func() error { return suspend(d.length(), r.process) })},
		fault{"restart Redis", own(func(d draw) func() error { return restart(syscall.SIGKILL, d.length()/2, r.process) })},
		fault{"empty Redis", own(func(d draw) func() error { return r.forget(d.length() / 2) })},
	)
}

func (r *redisServer) flush() error {
	r.mini.FlushAll()
	return nil
}

// forget restarts it without its data.
func (r *redisServer) forget(pause time.Duration) func() error {
	return func() error {
		if _, err := r.end(syscall.SIGKILL, stopPatience); err != nil {
			return err
		}
		if err := os.RemoveAll(filepath.Join(r.data, "appendonlydir")); err != nil {
			return err
		}
		time.Sleep(pause)
		return r.process.start()
	}
}
