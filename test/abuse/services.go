package main

import (
	"fmt"
	"os"

	"github.com/alicebob/miniredis/v2"

	"awareid-gateway/internal/simulator"
)

// services are what a gateway needs.
type services struct {
	redisURL, brokers string
	name              string
	stop              func()
}

func newServices(kind string) (*services, error) {
	if kind == fake {
		return fakeServices()
	}
	s := &services{
		redisURL: os.Getenv("TEST_REDIS_URL"), brokers: os.Getenv("TEST_KAFKA_BROKERS"),
		name: "Redis and Apache Kafka on this machine", stop: func() {},
	}
	if s.redisURL == "" || s.brokers == "" {
		return nil, fmt.Errorf("TEST_REDIS_URL and TEST_KAFKA_BROKERS are not set: run this by test/real.sh, or with -broker %s", fake)
	}
	return s, nil
}

// fakeServices speak the real protocols in this process.
func fakeServices() (*services, error) {
	redis := miniredis.NewMiniRedis()
	if err := redis.Start(); err != nil {
		return nil, fmt.Errorf("start miniredis: %w", err)
	}
	broker, err := simulator.NewBroker(0)
	if err != nil {
		redis.Close()
		return nil, err
	}
	return &services{
		redisURL: "redis://" + redis.Addr() + "/0", brokers: broker.Addr(), name: "miniredis and kfake in the sender's process",
		stop: func() {
			broker.Close()
			redis.Close()
		},
	}, nil
}
