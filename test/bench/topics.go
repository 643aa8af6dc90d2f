package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// topics are those of one gateway, under a prefix that no other has.
type topics struct {
	brokers []string
	prefix  string
	client  *kgo.Client
	admin   *kadm.Client
}

func newTopics(brokers []string) (*topics, error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...))
	if err != nil {
		return nil, err
	}
	return &topics{brokers: brokers, prefix: "bench-" + newID()[:8], client: client, admin: kadm.NewClient(client)}, nil
}

func (t *topics) ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	return t.client.Ping(ctx)
}

func (t *topics) names(ctx context.Context) ([]string, error) {
	all, err := t.admin.ListTopics(ctx)
	if err != nil {
		return nil, err
	}
	all.FilterInternal()
	var ours []string
	for _, name := range all.Names() {
		if strings.HasPrefix(name, t.prefix) {
			ours = append(ours, name)
		}
	}
	return ours, all.Error()
}

// create makes one of so many partitions, and returns its name when they have
// leaders.
func (t *topics) create(ctx context.Context, partitions int) (string, error) {
	name := t.prefix + ".all"
	if _, err := t.admin.CreateTopic(ctx, int32(partitions), -1, nil, name); err != nil {
		return "", fmt.Errorf("create %s: %w", name, err)
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		ends, err := t.ends(ctx)
		if err == nil && len(ends[name]) == partitions {
			return name, nil
		}
		select {
		case <-ctx.Done():
			return "", fmt.Errorf("%d of %d partitions of %s are there: %w", len(ends[name]), partitions, name, errors.Join(err, ctx.Err()))
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// drop deletes them, and what they take of the disk.
func (t *topics) drop(ctx context.Context) error {
	defer t.client.Close()
	names, err := t.names(ctx)
	if err != nil {
		return err
	}
	answers, err := t.admin.DeleteTopics(ctx, names...)
	if err != nil {
		return err
	}
	return answers.Error()
}

// ends are where the partitions end now.
func (t *topics) ends(ctx context.Context) (kadm.ListedOffsets, error) {
	names, err := t.names(ctx)
	if err != nil {
		return nil, err
	}
	ends, err := t.admin.ListEndOffsets(ctx, names...)
	if err != nil {
		return nil, err
	}
	return ends, ends.Error()
}

// holdsOnce is nil where what was written since an earlier look is every one of
// the sent events, once and unchanged, and nothing else.
func (t *topics) holdsOnce(ctx context.Context, before kadm.ListedOffsets, sent []callback) error {
	after, err := t.ends(ctx)
	if err != nil {
		return err
	}
	from, count := map[string]map[int32]kgo.Offset{}, int64(0)
	after.Each(func(end kadm.ListedOffset) {
		begin, _ := before.Lookup(end.Topic, end.Partition)
		if begin.Offset == end.Offset {
			return
		}
		if from[end.Topic] == nil {
			from[end.Topic] = map[int32]kgo.Offset{}
		}
		from[end.Topic][end.Partition] = kgo.NewOffset().At(begin.Offset)
		count += end.Offset - begin.Offset
	})
	if count != int64(len(sent)) {
		return fmt.Errorf("%d events were accepted, and Kafka has %d records more", len(sent), count)
	}
	return t.compare(ctx, from, sent)
}

// compare reads as many records as were sent, and crosses each off.
func (t *topics) compare(ctx context.Context, from map[string]map[int32]kgo.Offset, sent []callback) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	reader, err := kgo.NewClient(kgo.SeedBrokers(t.brokers...), kgo.ConsumePartitions(from), kgo.FetchMaxPartitionBytes(8<<20))
	if err != nil {
		return err
	}
	defer reader.Close()
	open := make(map[string][sha256.Size]byte, len(sent))
	for _, c := range sent {
		open[c.id] = c.value
	}
	for len(open) > 0 {
		fetched := reader.PollFetches(ctx)
		if err := fetched.Err(); err != nil {
			return fmt.Errorf("read the records: %w; %d have not come", err, len(open))
		}
		for record := range fetched.RecordsAll() {
			id := eventID(record)
			value, known := open[id]
			if !known {
				return fmt.Errorf("%s %q in %s was not sent, or is there twice", "event", id, record.Topic)
			}
			if sha256.Sum256(record.Value) != value {
				return fmt.Errorf("event %q in %s is not what was sent", id, record.Topic)
			}
			delete(open, id)
		}
	}
	return nil
}

func eventID(r *kgo.Record) string {
	for _, h := range r.Headers {
		if h.Key == "ce_id" {
			return string(h.Value)
		}
	}
	return ""
}
