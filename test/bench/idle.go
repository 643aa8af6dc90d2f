package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/valyala/fasthttp"
)

const (
	idleRequests = 300
	idlePause    = 5 * time.Millisecond // in which everything comes to rest
	starts       = 7
)

// idleness measures what a single request takes while nothing else happens,
// beside the round trips that it cannot do without, and how soon a gateway is
// ready.
func (l *lab) idleness(ctx context.Context) error {
	t := table{
		title: fmt.Sprintf("Single requests of 1 KiB, %v apart; medians of %d, in ms; and of %d starts", idlePause, idleRequests, starts),
		head:  []string{"", "request", "one PING of Redis", "one record to Kafka", "request without both", "p99", "start to ready"},
	}
	for _, r := range l.gateways() {
		i, err := l.idle(ctx, r)
		if err != nil {
			return fmt.Errorf("%s: %w", r.name, err)
		}
		t.add(r.name, millis(i.request), millis(i.redis), millis(i.kafka), millis(i.request-i.redis-i.kafka), millis(i.p99), millis(i.start))
	}
	t.print(l.markdown)
	return nil
}

type idle struct{ request, p99, redis, kafka, start time.Duration }

func (l *lab) idle(ctx context.Context, r rival) (i idle, err error) {
	callbacks, err := l.signer(setting{}, usual.cipher).sign(warmUp+idleRequests, usual.size)
	if err != nil {
		return i, err
	}
	s, err := r.begin(ctx, setting{})
	if err != nil {
		return i, err
	}
	defer s.end(ctx)
	if err = l.converse(ctx, r, s, callbacks, &i); err != nil {
		return i, err
	}
	i.start, err = l.restart(s)
	return i, err
}

// converse sends a request, a PING and a record in turns.
func (l *lab) converse(ctx context.Context, r rival, s *server, callbacks []callback, i *idle) error {
	if err := s.warm(ctx, r, callbacks[:warmUp], 1); err != nil {
		return err
	}
	before, err := s.topics.ends(ctx)
	if err != nil {
		return err
	}
	probes, err := newProbes(ctx, s)
	if err != nil {
		return err
	}
	defer probes.close(ctx)
	conn, err := net.Dial("tcp", s.public)
	if err != nil {
		return err
	}
	defer conn.Close()
	reader, response := bufio.NewReader(conn), fasthttp.Response{}
	var requests, pings, records []time.Duration
	for _, c := range callbacks[warmUp:] {
		time.Sleep(idlePause)
		request, err := timed(func() error { return load{judge: r.judge}.exchange(conn, reader, &response, c) })
		if err != nil {
			return err
		}
		time.Sleep(idlePause)
		ping, err := timed(func() error { return probes.redis.Ping(ctx).Err() })
		if err != nil {
			return err
		}
		time.Sleep(idlePause)
		record, err := timed(func() error { return probes.produce(ctx) })
		if err != nil {
			return err
		}
		requests, pings, records = append(requests, request), append(pings, ping), append(records, record)
	}
	i.request, i.p99 = quantile(requests, 0.5), quantile(requests, 0.99)
	i.redis, i.kafka = quantile(pings, 0.5), quantile(records, 0.5)
	return s.topics.holdsOnce(ctx, before, callbacks[warmUp:])
}

func timed(do func() error) (time.Duration, error) {
	began := time.Now()
	err := do()
	return time.Since(began), err
}

// probes are the bench's own ways to Redis and Kafka.
type probes struct {
	redis *redis.Client
	kafka *kgo.Client
	topic string
	own   *topics
}

func newProbes(ctx context.Context, s *server) (p *probes, err error) {
	p = &probes{}
	if p.own, err = newTopics(s.topics.brokers); err != nil {
		return nil, err
	}
	p.topic = p.own.prefix + ".probe"
	if _, err = p.own.admin.CreateTopic(ctx, 1, -1, nil, p.topic); err != nil {
		return nil, err
	}
	if p.kafka, err = kgo.NewClient(kgo.SeedBrokers(s.topics.brokers...), kgo.RequiredAcks(kgo.AllISRAcks())); err != nil {
		return nil, err
	}
	o, err := redis.ParseURL(s.redisURL())
	if err != nil {
		return nil, err
	}
	p.redis = redis.NewClient(o)
	return p, p.produce(ctx) // the first one opens connections
}

// redisURL is that of the gateway.
func (s *server) redisURL() string {
	for _, variable := range s.extra {
		if url, ok := strings.CutPrefix(variable, "REDIS_URL="); ok {
			return url
		}
	}
	return ""
}

func (p *probes) produce(ctx context.Context) error {
	record := &kgo.Record{Topic: p.topic, Value: make([]byte, usual.size)}
	return p.kafka.ProduceSync(ctx, record).FirstErr()
}

func (p *probes) close(ctx context.Context) {
	p.kafka.Close()
	p.redis.Close()
	p.own.drop(ctx)
}

// restart ends and starts a gateway several times, on topics that are there, and
// returns the median time from the call of the program to its being ready.
func (l *lab) restart(s *server) (time.Duration, error) {
	var took []time.Duration
	for range starts {
		s.stop()
		if err := l.launch(s); err != nil {
			return 0, err
		}
		took = append(took, time.Since(s.began))
	}
	return median(took, func(d time.Duration) time.Duration { return d }), nil
}
