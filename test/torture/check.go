package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

var topicNames = []string{"awareid.enrollment", "awareid.authentication", "awareid.reenrollment", "awareid.other", "awareid.quarantine"}

// place is where a record lies.
type place struct {
	topic     string
	partition int32
	offset    int64
	stored    time.Time
	origin    string // headers that tell of the attempt
}

func (p place) String() string {
	return fmt.Sprintf("%s/%d@%d stored %s, received %s", p.topic, p.partition, p.offset, p.stored.Format("15:04:05.000"), p.origin)
}

// topics is what was read from Kafka so far, by another client than the
// gateway's.
type topics struct {
	next    map[string]map[int32]int64
	records map[string][]place // by event id
	count   int
}

func newTopics() *topics {
	return &topics{next: map[string]map[int32]int64{}, records: map[string][]place{}}
}

// read goes on to the present end of all partitions.
func (t *topics) read(ctx context.Context, c *cluster) error {
	ends, err := t.ends(ctx, c)
	if err != nil {
		return err
	}
	from, missing := map[string]map[int32]kgo.Offset{}, int64(0)
	ends.Each(func(o kadm.ListedOffset) {
		if next := t.next[o.Topic][o.Partition]; o.Offset > next {
			if from[o.Topic] == nil {
				from[o.Topic] = map[int32]kgo.Offset{}
			}
			from[o.Topic][o.Partition] = kgo.NewOffset().At(next)
			missing += o.Offset - next
		}
	})
	if missing == 0 {
		return nil
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(c.bootstrap...), kgo.ConsumePartitions(from), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	if err != nil {
		return err
	}
	defer client.Close()
	for missing > 0 {
		fetches := client.PollFetches(ctx)
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("read the topics: %d records are missing: %w", missing, err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			missing--
			t.note(r)
		})
	}
	return nil
}

func (t *topics) ends(ctx context.Context, c *cluster) (ends kadm.ListedOffsets, err error) {
	err = c.kafka(func(admin *kadm.Client) error {
		if ends, err = admin.ListCommittedOffsets(ctx, topicNames...); err != nil {
			return err
		}
		return ends.Error()
	})
	return ends, err
}

func (t *topics) note(r *kgo.Record) {
	if t.next[r.Topic] == nil {
		t.next[r.Topic] = map[int32]int64{}
	}
	t.next[r.Topic][r.Partition] = r.Offset + 1
	t.count++
	p := place{topic: r.Topic, partition: r.Partition, offset: r.Offset, stored: r.Timestamp}
	id := "(none)"
	for _, h := range r.Headers {
		switch h.Key {
		case "ce_id":
			id = string(h.Value)
		case "gateway-received-at":
			p.origin = string(h.Value)
		}
	}
	t.records[id] = append(t.records[id], p)
}

// drainPatience is several times the longest that a spooled event has to wait.
const drainPatience = 45 * time.Second

// awaitDrained returns when all acknowledged events are there and nobody
// stands in a queue any more.
func (t *topics) awaitDrained(c *cluster, l *ledger) error {
	client := redis.NewClient(&redis.Options{Addr: c.redisAddr})
	defer client.Close()
	return await(drainPatience, func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := c.alive(); err != nil {
			return err
		}
		queues, err := client.Keys(ctx, "awareid:queue:*").Result()
		if err != nil {
			return err
		}
		if err := t.read(ctx, c); err != nil {
			return err
		}
		if lost := t.judge(l).lost; len(lost) > 0 || len(queues) > 0 {
			return fmt.Errorf("%d acknowledged events are not there, such as %v; %d queues are not empty, such as %v",
				len(lost), first(lost), len(queues), first(queues))
		}
		return nil
	})
}

func first(list []string) []string { return list[:min(len(list), 5)] }

// judgment lists events by what is wrong with them.
type judgment struct{ lost, duplicated, reordered, foreign []string }

func (j judgment) bad() bool {
	return len(j.lost)+len(j.duplicated)+len(j.reordered)+len(j.foreign) > 0
}

func (t *topics) judge(l *ledger) (j judgment) {
	for id, e := range l.events {
		if e.acked && len(t.records[id]) == 0 {
			j.lost = append(j.lost, id)
		}
	}
	for id, places := range t.records {
		if l.events[id] == nil || slices.ContainsFunc(places, func(p place) bool { return strings.HasSuffix(p.topic, "quarantine") }) {
			j.foreign = append(j.foreign, id)
		} else if len(places) > 1 {
			j.duplicated = append(j.duplicated, id)
		}
	}
	for _, events := range l.operations {
		j.reordered = append(j.reordered, t.disorder(events)...)
	}
	for _, list := range [][]string{j.lost, j.duplicated, j.reordered, j.foreign} {
		slices.Sort(list)
	}
	return j
}

// disorder lists events of an operation that lie ahead of an earlier one. The
// first record of each counts.
func (t *topics) disorder(events []*sent) (ids []string) {
	var behind *place
	for _, e := range events {
		places := t.records[e.id]
		if len(places) == 0 {
			continue
		}
		at := places[0]
		if behind != nil && (at.topic != behind.topic || at.partition != behind.partition || at.offset < behind.offset) {
			ids = append(ids, e.id)
			continue
		}
		behind = &at
	}
	return ids
}

// evidence is what is known of an event and its neighbours.
func (t *topics) evidence(l *ledger, id string) string {
	var b strings.Builder
	e := l.events[id]
	if e == nil {
		fmt.Fprintf(&b, "  %s was never sent: %v\n", id, t.records[id])
		return b.String()
	}
	operation := l.operations[e.operation]
	for _, n := range operation[max(0, e.sequence-1):min(len(operation), e.sequence+2)] {
		fmt.Fprintf(&b, "  %s %s #%d %s\n", n.id, n.operation, n.sequence, n.kind)
		for _, a := range n.answers {
			fmt.Fprintf(&b, "      %v\n", a)
		}
		for _, p := range t.records[n.id] {
			fmt.Fprintf(&b, "      at %v\n", p)
		}
	}
	return b.String()
}
