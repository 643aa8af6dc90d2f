// Command bench measures what an event costs. It runs servers that do ever more
// side by side, each in a process of its own, sends each the same signed
// callbacks, and prints medians and ratios in one table:
//
//	bare Fiber       reads the body, answers 200
//	verify+parse     and checks the signature, decrypts and parses
//	gateway          the same and its work, on miniredis and kfake in another
//	                 process, on a real Redis and kfake, and on a real Redis and
//	                 a real Kafka
//
// What it prints was checked: it refuses the figure of a run in which an answer
// was not as expected, or in which Kafka does not have every event once and
// unchanged, and then exits with 1.
//
//	test/real.sh go run ./test/bench              one setting at a time
//	test/real.sh go run ./test/bench -quick       64 connections, 1 KiB, GCM
//	go run ./test/bench -quick -fake              without a real Redis and Kafka
//	test/real.sh go run ./test/bench -scale -out docs/performance
//	go run ./test/bench -profile 10s -fake        where the gateway's time goes
//
// The sender is this process. On a machine of few cores it shares them with the
// server, Redis and Kafka: ratios mean more than figures.
package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"runtime/debug"
	"syscall"
	"time"
)

type options struct {
	quick, full, fake, idle, scale bool

	rounds   int
	length   time.Duration
	rate     float64        // events a second; 0: closed loop
	memory   int64          // bytes of signed requests
	cells    *regexp.Regexp // the settings to compare in; nil: by quick and full
	servers  *regexp.Regexp // to compare, by name; nil: all
	curves   *regexp.Regexp // by name; nil: all
	environ  []string       // of the servers, beside their own
	cpus     string         // of the servers; "": all
	gateway  string         // a binary to use
	out      string         // folder of what is not printed
	ids      int            // remembered at most, in the curve
	profile  time.Duration
	markdown bool
}

func main() {
	if len(os.Args) > 2 && os.Args[1] == actAs {
		exit(act(os.Args[2], os.Args[3:]))
	}
	// What is signed lies in the heap for the whole time, and need not be looked at.
	debug.SetGCPercent(400)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	exit(run(ctx, parse()))
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func parse() (o options) {
	flag.BoolVar(&o.quick, "quick", false, "64 connections, 1 KiB, GCM alone")
	flag.BoolVar(&o.full, "full", false, "every combination; by default one setting at a time differs from -quick")
	flag.BoolVar(&o.fake, "fake", false, "leave the real Redis and Kafka out")
	flag.BoolVar(&o.idle, "idle", false, "no load: the latency of single requests, and the time from start to ready")
	flag.BoolVar(&o.scale, "scale", false, "the cost of an event against remembered ids, connections, webhooks and partitions")
	flag.Func("cells", "a regular expression: of all combinations those whose title it matches, such as '64 connections.* 16 KiB'", func(text string) (err error) {
		o.cells, err = regexp.Compile(text)
		return err
	})
	flag.Func("servers", "a regular expression: no other servers, such as 'bare|Redis.kfake'", func(text string) (err error) {
		o.servers, err = regexp.Compile(text)
		return err
	})
	flag.Func("curves", "a regular expression: with -scale no other curves, such as 'ids|partitions'", func(text string) (err error) {
		o.curves, err = regexp.Compile(text)
		return err
	})
	flag.Func("env", "NAME=VALUE: further environment of the measured servers, such as GOGC=400; may be repeated", func(text string) error {
		o.environ = append(o.environ, text)
		return nil
	})
	flag.IntVar(&o.rounds, "rounds", 3, "how often each is measured")
	flag.DurationVar(&o.length, "length", 3*time.Second, "how long at most")
	flag.Float64Var(&o.rate, "rate", 0, "events a second, at fixed times; latency counts from then; 0: each connection sends when it has its answer")
	mebibytes := flag.Int64("memory", 512, "MiB of signed requests at most; a run ends when all are sent")
	flag.StringVar(&o.cpus, "cpus", "", "CPUs of the measured server, as taskset wants them; empty: all")
	flag.StringVar(&o.gateway, "gateway", "", "the gateway's binary; built from this tree where empty")
	flag.StringVar(&o.out, "out", ".", "folder of curves and profiles")
	flag.IntVar(&o.ids, "ids", 10_000_000, "with -scale: ids remembered in Redis at most")
	flag.DurationVar(&o.profile, "profile", 0, "no table: a CPU profile of so long of each gateway under load")
	flag.BoolVar(&o.markdown, "markdown", false, "print tables as those of Markdown")
	flag.Parse()
	o.memory = *mebibytes << 20
	return o
}

func run(ctx context.Context, o options) (err error) {
	l, err := newLab(o)
	if err != nil {
		return err
	}
	defer func() { l.close(err == nil) }()
	fmt.Print(describeMachine(), "\n\n")
	switch {
	case o.profile > 0:
		return l.profiles(ctx)
	case o.scale:
		return l.scales(ctx)
	case o.idle:
		return l.idleness(ctx)
	}
	compared := l.compare(ctx)
	if o.rate > 0 || o.cells != nil {
		return compared
	}
	return cmp.Or(compared, l.idleness(ctx))
}
