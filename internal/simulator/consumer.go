package simulator

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Record is a Kafka record as a subscriber reads it.
type Record struct {
	Topic     string
	Partition int32
	Offset    int64
	Key       string
	Value     []byte
	Headers   []Header
}

// Header is one header of a Record.
type Header struct{ Key, Value string }

// Header returns the value of a header, "" where there is none.
func (r Record) Header(key string) string {
	for _, h := range r.Headers {
		if h.Key == key {
			return h.Value
		}
	}
	return ""
}

// Consumer is a subscriber that reads topics from their beginning.
type Consumer struct {
	client *kgo.Client
	topics []string
}

// NewConsumer returns a consumer of topics that exist. The caller closes it.
func NewConsumer(broker string, topics []string) (*Consumer, error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(broker), kgo.ConsumeTopics(topics...))
	if err != nil {
		return nil, fmt.Errorf("make a consumer: %w", err)
	}
	return &Consumer{client: client, topics: topics}, nil
}

// Run calls each for every record, one at a time, until the context ends,
// which is no error.
func (c *Consumer) Run(ctx context.Context, each func(Record)) error {
	for {
		fetches := c.client.PollFetches(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err := fetches.Err(); err != nil {
			return fmt.Errorf("consume: %w", err)
		}
		fetches.EachRecord(func(r *kgo.Record) { each(convert(r)) })
	}
}

func convert(r *kgo.Record) Record {
	out := Record{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Key: string(r.Key), Value: r.Value}
	for _, h := range r.Headers {
		out.Headers = append(out.Headers, Header{h.Key, string(h.Value)})
	}
	return out
}

// Total is how many records the topics hold now.
func (c *Consumer) Total(ctx context.Context) (int, error) {
	ends, err := kadm.NewClient(c.client).ListEndOffsets(ctx, c.topics...)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return 0, fmt.Errorf("ask where the topics end: %w", err)
	}
	total := 0
	ends.Each(func(o kadm.ListedOffset) { total += int(o.Offset) })
	return total, nil
}

// Close ends the consumer.
func (c *Consumer) Close() { c.client.Close() }
