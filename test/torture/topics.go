package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// topics enters into the ledger what is in Kafka, as another client than the
// gateway's reads it.
type topics struct {
	ledger  *ledger
	addrs   []string
	next    map[string]map[int32]int64
	count   int      // records
	foreign []string // records of what was never sent, and why
}

func newTopics(l *ledger, addrs []string) *topics {
	return &topics{ledger: l, addrs: addrs, next: map[string]map[int32]int64{}}
}

// read goes on to the present end of all partitions.
func (t *topics) read(ctx context.Context) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(t.addrs...), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	if err != nil {
		return err
	}
	defer client.Close()
	ends, err := kadm.NewClient(client).ListCommittedOffsets(ctx, topicNames...)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return fmt.Errorf("ask where the topics end: %w", err)
	}
	from, missing := t.missing(ends)
	client.AddConsumePartitions(from)
	for missing > 0 {
		fetches := client.PollFetches(ctx)
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("read the topics: %d records are missing: %w", missing, err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			missing--
			t.enter(r)
		})
	}
	return nil
}

// missing tells where partitions go on that were not read to their ends, and
// how many records they have there.
func (t *topics) missing(ends kadm.ListedOffsets) (from map[string]map[int32]kgo.Offset, records int64) {
	from = map[string]map[int32]kgo.Offset{}
	ends.Each(func(o kadm.ListedOffset) {
		next := t.next[o.Topic][o.Partition]
		if o.Offset <= next {
			return
		}
		if from[o.Topic] == nil {
			from[o.Topic] = map[int32]kgo.Offset{}
		}
		from[o.Topic][o.Partition] = kgo.NewOffset().At(next)
		records += o.Offset - next
	})
	return from, records
}

// enter notes a record.
func (t *topics) enter(r *kgo.Record) {
	if t.next[r.Topic] == nil {
		t.next[r.Topic] = map[int32]int64{}
	}
	t.next[r.Topic][r.Partition] = r.Offset + 1
	t.count++

	l := t.ledger
	l.mu.Lock()
	defer l.mu.Unlock()
	id := header(r, "ce_id")
	place := fmt.Sprintf("at %s/%d@%d stored %s, received %s", r.Topic, r.Partition, r.Offset,
		r.Timestamp.Format("15:04:05.000"), header(r, "gateway-received-at"))
	fmt.Fprintf(l.lines, "%s %s\n", id, place)
	number, ok := l.parse(id)
	if wrong := l.strange(r, number, ok); wrong != "" {
		t.foreign = append(t.foreign, fmt.Sprintf("%s %s: %s", id, place, wrong))
		return
	}
	e := &l.events[number]
	if e.copies++; e.copies == 1 {
		e.topic, e.partition, e.offset = uint8(slices.Index(topicNames, r.Topic)), uint8(r.Partition), uint32(r.Offset)
	}
}

// strange says why a record is not one of the events that were sent, as they
// were sent.
func (l *ledger) strange(r *kgo.Record, number int, known bool) string {
	if !known || !l.events[number].sent() {
		return "it was never sent"
	}
	e := l.events[number]
	switch {
	case checksum(r.Value) != e.checksum:
		return "its body is another"
	case string(r.Key) != operationToken(int(e.operation)):
		return fmt.Sprintf("its key is %q", r.Key)
	case r.Topic != topicNames[l.operations[e.operation].family]:
		return "it is in the wrong topic"
	}
	return ""
}

func header(r *kgo.Record, key string) string {
	for _, h := range r.Headers {
		if h.Key == key {
			return strings.Clone(string(h.Value))
		}
	}
	return "-"
}
