package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	gatewayserver "awareid-gateway/internal/server"
)

// pollEvery is how often a server is asked whether it is ready: far less than
// it takes to get so.
const pollEvery = time.Millisecond

// onFakes is a gateway on a Redis and a Kafka in memory. Such a Redis runs scripts
// so slowly that the gateway waits for it.
func (l *lab) onFakes(ctx context.Context, set setting) (*server, error) {
	redisAddr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	return l.besideServices(ctx, redisAddr, "redis://"+redisAddr+"/0", set)
}

// onKfake is a gateway on the real Redis and a Kafka in memory.
func (l *lab) onKfake(ctx context.Context, set setting) (*server, error) {
	return l.besideServices(ctx, "", os.Getenv(redisVariable), set)
}

// onReal is a gateway on the Redis and the Kafka that test/real.sh names. It
// shares them with what was there before, under a webhook and topics of its own.
func (l *lab) onReal(ctx context.Context, set setting) (*server, error) {
	t, err := newTopics(strings.Split(os.Getenv(kafkaVariable), ","))
	if err != nil {
		return nil, err
	}
	return l.startGateway(ctx, os.Getenv(redisVariable), t, set)
}

// besideServices starts what is in memory, without a Redis where that has no
// address, and a gateway on it.
func (l *lab) besideServices(ctx context.Context, redisAddr, redisURL string, set setting) (*server, error) {
	kafkaAddr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	t, err := newTopics([]string{kafkaAddr})
	if err != nil {
		return nil, err
	}
	services, err := l.spawn(asServices, nil, l.self, actAs, asServices, kafkaAddr, redisAddr)
	if err != nil {
		return nil, err
	}
	if err := services.await(pollEvery, func() error { return t.ping(ctx) }); err != nil {
		services.stop()
		return nil, err
	}
	s, err := l.startGateway(ctx, redisURL, t, set)
	s.backs = []*process{services}
	return s, err
}

// startGateway returns one that is ready; with an error, one that is not.
func (l *lab) startGateway(ctx context.Context, redisURL string, t *topics, set setting) (s *server, err error) {
	if s, err = newServer(); err != nil {
		return s, err
	}
	s.topics = t
	spool := filepath.Join(l.dir, "spool-"+t.prefix)
	if err := os.Mkdir(spool, 0o700); err != nil {
		return s, err
	}
	s.extra = append(l.webhooks(set),
		"HTTP_ADDR="+s.public, "ADMIN_ADDR="+s.admin, "HTTP_MAX_CONNECTIONS=20000", "HTTP_IDLE_TIMEOUT=10m",
		"KAFKA_BROKERS="+strings.Join(t.brokers, ","), "KAFKA_TOPIC_PREFIX="+t.prefix, "SPOOL_DIR="+spool, "REPLICA_ID=bench",
	)
	if set.partitions > 0 {
		all, err := t.create(ctx, set.partitions)
		if err != nil {
			return s, err
		}
		s.extra = append(s.extra, "KAFKA_ROUTES=*="+all, "KAFKA_TOPIC_PARTITIONS=1")
	}
	if set.file != "" {
		s.extra = append(s.extra, "STORE_FILE="+set.file)
	} else {
		s.extra = append(s.extra, "REDIS_URL="+cmp.Or(set.redis, redisURL))
	}
	if l.profile > 0 {
		if s.profiled, err = freeAddr(); err != nil {
			return s, err
		}
		s.extra = append(s.extra, "BENCH_PPROF_ADDR="+s.profiled)
	}
	s.extra = append(s.extra, l.environ...)
	return s, l.launch(s)
}

// launch runs a gateway until it says that it is ready.
func (l *lab) launch(s *server) (err error) {
	if s.process, err = l.spawn("gateway", s.extra, l.place(l.gateway, "serve")...); err != nil {
		return err
	}
	return s.await(pollEvery, func() error { return ready(s.admin) })
}

func (l *lab) webhooks(set setting) (environ []string) {
	if set.webhooks == nil {
		return []string{"AWAREID_WEBHOOK_ID=" + newID(), "AWAREID_WEBHOOK_SECRETS=" + l.secret}
	}
	for i, name := range set.webhooks {
		environ = append(environ, fmt.Sprintf("WEBHOOKS_%d_NAME=%s", i, name),
			fmt.Sprintf("WEBHOOKS_%d_ID=%s", i, newID()), fmt.Sprintf("WEBHOOKS_%d_SECRETS=%s", i, set.secrets[i]))
	}
	return environ
}

// signer is who signs as the webhooks of a setting.
func (l *lab) signer(set setting, cipher string) signer {
	s := signer{cipher: cipher, secrets: set.secrets}
	if set.webhooks == nil {
		return signer{cipher: cipher, secrets: []string{l.secret}, paths: []string{gatewayserver.Path}}
	}
	for _, name := range set.webhooks {
		s.paths = append(s.paths, gatewayserver.Path+"/"+name)
	}
	return s
}
