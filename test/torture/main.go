// Command torture runs two gateways against Redis and a Kafka of three brokers,
// posts numbered events to them as a webhook platform does, does harm at random
// to whatever there is, and checks after each round that every event with a 2xx
// is in Kafka once and in order. It exits with 1 where that is not so, and says
// what it knows of each event at fault.
//
//	go run ./test/torture -rounds 20 -events 5000
//	go run ./test/torture -broker kfake -rounds 20 -events 300 -length 2s
//
// It needs what test/real.sh needs, ends by itself, and touches nothing but
// what it started.
package main

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"time"
)

// The kinds of Kafka.
const (
	realBrokers = "real"
	fake        = "kfake"
)

type options struct {
	broker         string
	rounds, events int
	length         time.Duration
	seed           uint64
	faults         *regexp.Regexp // the names of those that happen; nil: all
	keep           bool
	once           bool // no repeats
	markdown       bool
	recovery       bool
	backlog        int    // events
	gateway        string // a binary to use
}

func main() {
	o, err := parse()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	if code, done := isolate(); done {
		os.Exit(code)
	}
	os.Exit(run(o))
}

func parse() (o options, err error) {
	flag.StringVar(&o.broker, "broker", realBrokers, "real: Apache Kafka; kfake: a cluster in this process that answers as it is told")
	flag.IntVar(&o.rounds, "rounds", env("ROUNDS", 20), "rounds; also ROUNDS")
	flag.IntVar(&o.events, "events", env("EVENTS", 5000), "events of a round; also EVENTS")
	flag.Uint64Var(&o.seed, "seed", uint64(env("SEED", int(time.Now().Unix()))), "of all that is random; also SEED")
	flag.DurationVar(&o.length, "length", 9*time.Second, "how long a round sends")
	flag.Func("faults", "a regular expression: no other faults happen", func(text string) (err error) {
		o.faults, err = regexp.Compile(text)
		return err
	})
	flag.BoolVar(&o.keep, "keep", false, "keep logs and data in any case")
	flag.BoolVar(&o.once, "no-repeats", false, "the sender repeats only what was not acknowledged")
	flag.BoolVar(&o.markdown, "markdown", false, "print the table as one of Markdown")
	flag.BoolVar(&o.recovery, "recovery", false, "no faults: measure how soon and how fast the gateways go on after Kafka's return, each as often as there are rounds")
	flag.IntVar(&o.backlog, "backlog", 20_000, "with -recovery: events in the spools when Kafka returns")
	flag.StringVar(&o.gateway, "gateway", "", "the gateway's binary; built from this tree where empty")
	flag.Parse()
	if o.broker != realBrokers && o.broker != fake {
		return o, fmt.Errorf("-broker is %s or %s, not %q", realBrokers, fake, o.broker)
	}
	if o.recovery && o.broker != realBrokers {
		return o, fmt.Errorf("-recovery needs -broker %s", realBrokers)
	}
	return o, nil
}

func env(name string, otherwise int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return n
	}
	return otherwise
}
