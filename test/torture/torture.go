package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

// torture is one run.
type torture struct {
	options
	cluster *cluster
	ledger  *ledger
	topics  *topics
	plan    *plan
	rng     *rand.Rand
	began   time.Time
	rounds  int // that were finished
	shown   map[violation]bool
	strange int   // foreign records that were shown
	results []row // of measurements
	trouble []error
}

func run(o options) int {
	dir, err := os.MkdirTemp("", "gateway-torture.")
	if err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Printf("seed %d, logs and data in %s\n", o.seed, dir)
	t, err := begin(o, dir)
	if err != nil {
		fmt.Println("start:", err)
		return 1
	}
	defer t.cluster.stop()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if o.recovery {
		t.measure(ctx)
	} else {
		t.allRounds(ctx)
	}
	if ctx.Err() != nil {
		t.trouble = append(t.trouble, errors.New("interrupted"))
	}
	t.settle()
	return t.finish(dir)
}

// finish returns the exit code.
func (t *torture) finish(dir string) (code int) {
	if !t.report() {
		code = 1
	}
	if code == 0 && !t.keep {
		t.cluster.stop()
		os.RemoveAll(dir)
		return code
	}
	fmt.Println("logs and data are in", dir)
	return code
}

// begin returns when everything is up.
func begin(o options, dir string) (*torture, error) {
	c, err := newCluster(o, dir)
	if err != nil {
		return nil, err
	}
	l, err := newLedger(filepath.Join(dir, "journal"))
	if err != nil {
		return nil, err
	}
	if err := c.start(); err != nil {
		c.stop()
		return nil, err
	}
	t := &torture{
		options: o, cluster: c, ledger: l, topics: newTopics(l, c.kafka.addrs()),
		rng: rand.New(rand.NewPCG(o.seed, 0)), began: time.Now(), shown: map[violation]bool{},
	}
	t.plan = newPlan(c.faults(), o.faults, rand.New(rand.NewPCG(o.seed, 1)), t.say)
	return t, nil
}

func (t *torture) say(format string, args ...any) {
	fmt.Printf("t=%8.3fs %s\n", time.Since(t.ledger.began).Seconds(), fmt.Sprintf(format, args...))
}

func (t *torture) allRounds(ctx context.Context) {
	s := newSender(t.ledger, t.cluster)
	s.repeats = !t.once
	for round := range t.options.rounds {
		if !t.round(ctx, s, round) {
			break
		}
		t.rounds++
		if ctx.Err() != nil {
			break
		}
	}
}

// Parts of a round's length.
const (
	faultsBegin = 0.6 // until then
	faultsLast  = 0.6 // at most
)

// round is false where the next one makes no sense.
func (t *torture) round(ctx context.Context, s *sender, round int) bool {
	t.say("round %d", round)
	first, length := len(t.ledger.operations), t.length.Seconds()
	done := make(chan struct{})
	go func() {
		defer close(done)
		t.plan.run(seconds(length*faultsBegin), seconds(length*faultsLast))
	}()
	s.run(ctx, t.events, t.length, t.rng)
	<-done
	mended := time.Now()
	t.say("    sent; all is mended")
	err := await(patience, t.cluster.ready)
	ready := time.Since(mended)
	if err == nil {
		err = await(patience, func() error { return t.drained(first) })
	}
	t.say("    ready after %.1f s, drained after %.1f s", ready.Seconds(), time.Since(mended).Seconds())
	if err != nil {
		t.trouble = append(t.trouble, fmt.Errorf("round %d: %w", round, err))
	}
	t.verdict(first)
	return err == nil
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// drained is nil when nothing waits in a spool and all that was acknowledged
// since an operation is there.
func (t *torture) drained(since int) error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := t.cluster.alive(); err != nil {
		return err
	}
	entries, err := t.cluster.spooled()
	if err != nil {
		return err
	}
	if err := t.topics.read(ctx); err != nil {
		return err
	}
	if lost := t.ledger.judge(since).lost; entries > 0 || len(lost) > 0 {
		return fmt.Errorf("%d events wait in spools; %d acknowledged ones are not there", entries, len(lost))
	}
	return nil
}

// settle waits until every claim is over, and looks at everything once more.
func (t *torture) settle() {
	time.Sleep(2 * timesOf(t.broker).lease)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := t.topics.read(ctx); err != nil {
		t.trouble = append(t.trouble, err)
	}
	t.say("the end")
	t.verdict(0)
}

// verdict judges what was sent since an operation, and shows what is new.
func (t *torture) verdict(since int) {
	j := t.ledger.judge(since)
	t.say("    %d records: %d lost, %d duplicated, %d reordered, %d foreign",
		t.topics.count, len(j.lost), len(j.duplicated), len(j.reordered), len(t.topics.foreign))
	t.show("lost", j.lost)
	t.show("duplicated", j.duplicated)
	t.show("reordered", j.reordered)
	for _, record := range t.topics.foreign[t.strange:] {
		fmt.Println("foreign:", record)
	}
	t.strange = len(t.topics.foreign)
}

// violation is one that was shown.
type violation struct {
	what   string
	number int
}

// maxShown bounds what is printed of one kind at once.
const maxShown = 8

func (t *torture) show(what string, numbers []int) {
	shown := 0
	for _, n := range numbers {
		if t.shown[violation{what, n}] {
			continue
		}
		t.shown[violation{what, n}] = true
		if shown++; shown <= maxShown {
			fmt.Printf("%s: %s\n%s", what, eventID(n), t.ledger.evidence(n))
		}
	}
	if shown > maxShown {
		fmt.Printf("%s: %d more\n", what, shown-maxShown)
	}
}
