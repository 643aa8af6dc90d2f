// Command torture runs two gateways against a real Redis and a real Kafka of
// three brokers, posts numbered events to them as a webhook platform does,
// kills and suspends at random whatever there is, and checks after each round
// that every event with a 2xx is in Kafka once and in order. It exits with 1
// where that is not so, and says what it knows of each event at fault.
//
//	go run ./test/torture -rounds 20 -events 5000
//
// It needs what test/real.sh needs, ends by itself, and touches nothing but
// what it started.
package main

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/signal"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"
)

type options struct {
	rounds, events int
	length         time.Duration
	seed           uint64
	emptyRedis     bool
	faults         *regexp.Regexp // the names of those that happen; nil: all
	keep           bool
	once           bool   // no repeats
	gateway        string // a binary to use
}

func main() {
	var o options
	flag.IntVar(&o.rounds, "rounds", env("ROUNDS", 20), "rounds; also ROUNDS")
	flag.IntVar(&o.events, "events", env("EVENTS", 5000), "events of a round; also EVENTS")
	flag.Uint64Var(&o.seed, "seed", uint64(env("SEED", int(time.Now().Unix()))), "of all that is random; also SEED")
	flag.DurationVar(&o.length, "length", 15*time.Second, "how long a round sends")
	flag.BoolVar(&o.emptyRedis, "empty-redis", false, "Redis may also come back empty")
	flag.Func("faults", "a regular expression: no other faults happen", func(text string) (err error) {
		o.faults, err = regexp.Compile(text)
		return err
	})
	flag.BoolVar(&o.keep, "keep", false, "keep logs and data in any case")
	flag.BoolVar(&o.once, "no-repeats", false, "the sender repeats only what was not acknowledged")
	flag.StringVar(&o.gateway, "gateway", "", "the gateway's binary; built from this tree where empty")
	flag.Parse()
	os.Exit(run(o))
}

func env(name string, otherwise int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return n
	}
	return otherwise
}

// torture is one run.
type torture struct {
	options
	cluster *cluster
	ledger  *ledger
	topics  *topics
	plan    *plan
	began   time.Time
	rounds  int             // that were finished
	known   map[string]bool // events that were reported
	trouble []error
}

func run(o options) int {
	dir, err := os.MkdirTemp("", "gateway-torture.")
	if err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Printf("seed %d, logs and data in %s\n", o.seed, dir)
	c, err := newCluster(dir, o.gateway)
	if err == nil {
		defer c.stop()
		err = c.start()
	}
	if err != nil {
		fmt.Println("start:", err)
		return 1
	}
	t := &torture{options: o, cluster: c, ledger: newLedger(), topics: newTopics(), began: time.Now(), known: map[string]bool{}}
	t.plan = &plan{kinds: t.kinds(), rng: rand.New(rand.NewPCG(o.seed, 0)), count: map[string]int{}, busy: map[*process]bool{}, say: t.say}
	t.allRounds()
	good := t.report()
	if good && !o.keep {
		c.stop()
		os.RemoveAll(dir)
		return 0
	}
	fmt.Println("logs and data are in", dir)
	if good {
		return 0
	}
	return 1
}

func (t *torture) kinds() []fault {
	return slices.DeleteFunc(faultKinds(t.emptyRedis), func(f fault) bool {
		return t.faults != nil && !t.faults.MatchString(f.name)
	})
}

func (t *torture) say(format string, args ...any) {
	fmt.Printf("t=%7.3fs %s\n", time.Since(t.ledger.began).Seconds(), fmt.Sprintf(format, args...))
}

func (t *torture) allRounds() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	s := newSender(t.ledger, t.cluster)
	s.repeats = !t.once
	for round := range t.options.rounds {
		if !t.round(ctx, s, round) || ctx.Err() != nil {
			break
		}
		t.rounds++
	}
	t.settle()
}

// round is false where the next one makes no sense.
func (t *torture) round(ctx context.Context, s *sender, round int) bool {
	t.say("round %d", round)
	done := make(chan struct{})
	go func() {
		defer close(done)
		t.plan.run(t.cluster, t.length*3/4)
	}()
	s.run(ctx, round, t.events, t.length, t.seed+uint64(round))
	<-done
	t.say("    sent; all is mended")
	if err := await(patience, t.cluster.ready); err != nil {
		t.trouble = append(t.trouble, fmt.Errorf("round %d: ready again: %w", round, err))
		return false
	}
	err := t.topics.awaitDrained(t.cluster, t.ledger)
	if err != nil {
		t.trouble = append(t.trouble, fmt.Errorf("round %d: drain: %w", round, err))
	}
	t.verdict(fmt.Sprintf("round %d", round))
	return err == nil
}

// settle waits until every claim is over, and looks once more.
func (t *torture) settle() {
	time.Sleep(10 * time.Second)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := t.topics.read(ctx, t.cluster); err != nil {
		t.trouble = append(t.trouble, err)
	}
	t.verdict("the end")
}

func (t *torture) verdict(when string) {
	j := t.topics.judge(t.ledger)
	t.say("    %s: %d records, lost %d, duplicated %d, reordered %d, foreign %d", when,
		t.topics.count, len(j.lost), len(j.duplicated), len(j.reordered), len(j.foreign))
	t.show("lost", j.lost)
	t.show("duplicated", j.duplicated)
	t.show("reordered", j.reordered)
	t.show("foreign", j.foreign)
}

// maxShown bounds what is printed of one kind in one round.
const maxShown = 8

func (t *torture) show(what string, ids []string) {
	shown := 0
	for _, id := range ids {
		if t.known[what+id] {
			continue
		}
		t.known[what+id] = true
		if shown++; shown <= maxShown {
			fmt.Printf("%s: %s\n%s", strings.ToUpper(what), id, t.topics.evidence(t.ledger, id))
		}
	}
	if shown > maxShown {
		fmt.Printf("%s: %d more\n", strings.ToUpper(what), shown-maxShown)
	}
}

// report prints the table, and is false where a promise was broken.
func (t *torture) report() bool {
	j := t.topics.judge(t.ledger)
	acked := 0
	for _, e := range t.ledger.events {
		if e.acked {
			acked++
		}
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	row := func(name string, value any) { fmt.Fprintf(w, "%s\t%v\n", name, value) }
	fmt.Println()
	row("seed", t.seed)
	row("rounds", t.rounds)
	for _, name := range slices.Sorted(maps.Keys(t.plan.count)) {
		row("fault: "+name, t.plan.count[name])
	}
	row("events sent", len(t.ledger.events))
	row("acknowledged", acked)
	row("never acknowledged", len(t.ledger.events)-acked)
	for _, word := range slices.Sorted(maps.Keys(t.ledger.tally)) {
		row("answers: "+word, t.ledger.tally[word])
	}
	row("records in Kafka", t.topics.count)
	row("lost", len(j.lost))
	row("duplicated", len(j.duplicated))
	row("reordered", len(j.reordered))
	row("foreign", len(j.foreign))
	row("longest time without a 2xx", t.ledger.longest.Round(time.Millisecond))
	row("took", time.Since(t.began).Round(time.Second))
	w.Flush()
	t.trouble = append(t.trouble, t.plan.errs...)
	for _, err := range t.trouble {
		fmt.Println("TROUBLE:", err)
	}
	return !j.bad() && len(t.trouble) == 0
}
