package dispatch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"

	"awareid-gateway/internal/event"
)

// ReadQuarantine calls each for every record that the quarantine topic holds at
// the time of the call, from its beginning on, one at a time: those of a
// partition in their order, those of several by when their bodies came. It
// holds no more than one fetch of each partition in memory. An error of each
// ends it and is returned as it is. The topic must be one of the options; the
// producer need not be started.
func (k *Kafka) ReadQuarantine(ctx context.Context, topic string, each func(Sealed) error) error {
	cursors, err := k.cursors(ctx, topic)
	if err != nil {
		return err
	}
	for {
		c, err := k.oldest(ctx, cursors)
		if c == nil || err != nil {
			return err
		}
		if err := each(c.pop()); err != nil {
			return err
		}
	}
}

// cursor is how far a partition has been read.
type cursor struct {
	event.Place
	next, end int64
	waiting   []Sealed
}

func (c *cursor) pop() Sealed {
	first := c.waiting[0]
	c.waiting = c.waiting[1:]
	return first
}

// cursors stand at the beginning of every partition.
func (k *Kafka) cursors(ctx context.Context, topic string) ([]*cursor, error) {
	ctx, cancel := context.WithTimeout(ctx, k.opts.ProduceTimeout)
	defer cancel()
	meta, err := k.client.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{topic}})
	if err != nil {
		return nil, fmt.Errorf("ask Kafka for topic %s: %w", topic, err)
	}
	var cursors []*cursor
	for _, t := range meta.Topics {
		if t.Error != nil {
			return nil, fmt.Errorf("topic %s: %w", t.Name, t.Error)
		}
		for _, p := range t.Partitions {
			cursors = append(cursors, &cursor{Place: event.Place{Topic: t.Name, Partition: p.ID}})
		}
	}
	ends, err := k.askEnds(ctx, meta.Topics)
	if err != nil {
		return nil, fmt.Errorf("ask Kafka where topic %s ends: %w", topic, err)
	}
	for _, c := range cursors {
		var known bool
		if c.end, known = ends[c.Place]; !known {
			return nil, fmt.Errorf("%w: %s/%d", errUnknownEnd, c.Topic, c.Partition)
		}
	}
	return cursors, nil
}

// oldest is the cursor whose next record is the oldest, nil where none has any.
func (k *Kafka) oldest(ctx context.Context, cursors []*cursor) (*cursor, error) {
	var first *cursor
	for _, c := range cursors {
		if err := k.fill(ctx, c); err != nil {
			return nil, err
		}
		if len(c.waiting) > 0 && (first == nil || c.waiting[0].before(first.waiting[0])) {
			first = c
		}
	}
	return first, nil
}

// fill reads on where nothing waits and the end is not reached.
func (k *Kafka) fill(ctx context.Context, c *cursor) error {
	for len(c.waiting) == 0 && c.next < c.end {
		answer, start, err := k.fetchInTime(ctx, c)
		if err != nil {
			return err
		}
		if c.next, err = c.take(answer.Records, start); err != nil {
			return err
		}
		switch {
		case c.next > start || start >= c.end:
		case answer.HighWatermark > start:
			c.next++ // the mark of a transaction, which is no record
		default:
			return fmt.Errorf("%s/%d ends at %d, and ended at %d a moment ago", c.Topic, c.Partition, answer.HighWatermark, c.end)
		}
	}
	return nil
}

func (k *Kafka) fetchInTime(ctx context.Context, c *cursor) (*kafka.FetchResponse, int64, error) {
	ctx, cancel := context.WithTimeout(ctx, k.opts.ProduceTimeout)
	defer cancel()
	return k.fetch(ctx, c.Place, c.next)
}

// take copies the records from an offset up to the end, and returns the offset
// behind the last.
func (c *cursor) take(records kafka.RecordReader, from int64) (int64, error) {
	next := from
	for {
		r, err := records.ReadRecord()
		if errors.Is(err, io.EOF) {
			return next, nil
		}
		if err != nil {
			return next, fmt.Errorf("read a record of %s/%d: %w", c.Topic, c.Partition, err)
		}
		if r.Offset < from {
			continue // a batch is sent whole, from its beginning
		}
		if r.Offset >= c.end {
			return c.end, nil
		}
		s, err := c.sealed(r)
		if err != nil {
			return next, err
		}
		c.waiting = append(c.waiting, s)
		next = r.Offset + 1
	}
}

func (c *cursor) sealed(r *kafka.Record) (Sealed, error) {
	value, err := protocol.ReadAll(r.Value)
	if err != nil {
		return Sealed{}, fmt.Errorf("read %s/%d at offset %d: %w", c.Topic, c.Partition, r.Offset, err)
	}
	s := Sealed{Place: c.Place, Offset: r.Offset, Time: r.Time, Value: value}
	for _, h := range r.Headers {
		s.Headers = append(s.Headers, event.Header{Key: h.Key, Value: bytes.Clone(h.Value)})
	}
	return s, nil
}
