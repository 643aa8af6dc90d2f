// Command abuse starts the gateway beside a Redis and a Kafka, posts honest
// events to it at a steady rate, attacks it meanwhile in one way after another,
// and shows for each attack what it did to the honest: events lost, latency,
// answers, memory. At the end it reads Kafka and looks whether every event with
// a 2xx is there once, and nothing that was smuggled. It exits with 1 where one
// of the bounds in judge.go is broken.
//
//	chrt -r 1 test/real.sh go run ./test/abuse
//	go run ./test/abuse -broker kfake -without-slowhttptest
//	go run ./test/abuse -attacks 'forged|idle' -length 5s
//	go run ./test/abuse -tls -attacks '^forged'
//	go run ./test/abuse -connections 12000 -attacks 'connections$'
//
// All of it is on loopback: the gateway believes the one address that honest
// events come from to be its load balancer's, and attackers come from others of
// 127.0.0.0/8. Each attack is a process of its own, which has of the processors what
// the gateway leaves. It ends by itself, and touches nothing but what it started.
package main

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"time"
)

// The kinds of Kafka.
const (
	realBrokers = "real"
	fake        = "kfake"
)

// defaultConnections is the gateway's own default.
const defaultConnections = 5000

type options struct {
	broker        string
	quiet, length time.Duration
	rate          int // honest events a second
	connections   int // HTTP_MAX_CONNECTIONS
	only          *regexp.Regexp
	without       bool // slowhttptest
	tls           bool
	json          bool
	keep          bool
	gateway       string // a binary to use
}

func main() {
	if job := os.Getenv(jobVariable); job != "" {
		os.Exit(attackAsToldBy(job))
	}
	o, err := parse()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	os.Exit(run(o))
}

func parse() (o options, err error) {
	flag.StringVar(&o.broker, "broker", realBrokers, "real: TEST_KAFKA_BROKERS and TEST_REDIS_URL, as test/real.sh sets them; kfake: both in this process")
	flag.DurationVar(&o.quiet, "quiet", 30*time.Second, "how long honest traffic is measured without an attack")
	flag.DurationVar(&o.length, "length", 15*time.Second, "how long each attack lasts")
	flag.IntVar(&o.rate, "rate", 200, "honest events a second")
	flag.IntVar(&o.connections, "connections", defaultConnections, "HTTP_MAX_CONNECTIONS; with 12000 all of 10,000 connections find room")
	flag.Func("attacks", "a regular expression: no other attacks happen", func(text string) (err error) {
		o.only, err = regexp.Compile(text)
		return err
	})
	flag.BoolVar(&o.without, "without-slowhttptest", false, "leave out the attacks by slowhttptest; otherwise its absence is an error")
	flag.BoolVar(&o.tls, "tls", false, "the gateway has TLS, with a certificate made for the run; the honest and the attackers come over it")
	flag.BoolVar(&o.json, "json", false, "print the results as JSON")
	flag.BoolVar(&o.keep, "keep", false, "keep the log in any case")
	flag.StringVar(&o.gateway, "gateway", "", "the gateway's binary; built from this tree where empty")
	flag.Parse()
	switch {
	case o.broker != realBrokers && o.broker != fake:
		return o, fmt.Errorf("-broker is %s or %s, not %q", realBrokers, fake, o.broker)
	case o.connections < 1000:
		return o, fmt.Errorf("-connections is 1000 or more")
	case o.rate < 1 || o.length < time.Second || o.quiet < time.Second:
		return o, fmt.Errorf("-rate is 1 or more, -quiet and -length are 1s or more")
	}
	return o, nil
}
