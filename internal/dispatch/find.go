package dispatch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/segmentio/kafka-go"

	"awareid-gateway/internal/event"
)

const (
	findMaxBytes = 4 << 20 // of one fetch
	findMaxWait  = 100 * time.Millisecond
)

// Find implements Producer: it reads the partition from an offset to the high
// watermark of its first answer. All that was written before the call and
// acknowledged lies below that. Where the partition does not have that offset
// it reads all there is: retention has deleted what was there, or the log is
// another one than when the offset was noted.
func (k *Kafka) Find(ctx context.Context, at event.Place, from int64, headers []event.Header) (int64, bool, error) {
	end := int64(-1)
	for offset := from; end < 0 || offset < end; {
		answer, start, err := k.fetch(ctx, at, offset)
		if err != nil {
			return 0, false, err
		}
		if end < 0 {
			end = answer.HighWatermark
		}
		next, found, err := scan(answer.Records, start, headers)
		if found || err != nil {
			return next, found, err
		}
		if next == start && start < end {
			return 0, false, fmt.Errorf("read %s/%d: nothing at offset %d below %d", at.Topic, at.Partition, start, end)
		}
		offset = next
	}
	return 0, false, nil
}

// fetch asks for records from an offset, or from the first there is where that
// one is out of range, until the context ends. It returns from where it read.
func (k *Kafka) fetch(ctx context.Context, at event.Place, offset int64) (*kafka.FetchResponse, int64, error) {
	for backoff := firstBackoff; ; backoff = min(2*backoff, lastBackoff) {
		answer, err := k.client.Fetch(ctx, &kafka.FetchRequest{
			Topic: at.Topic, Partition: at.Partition, Offset: offset,
			MinBytes: 1, MaxBytes: findMaxBytes, MaxWait: findMaxWait,
		})
		if err == nil {
			err = answer.Error
		}
		if err == nil {
			return answer, offset, nil
		}
		if errors.Is(err, kafka.OffsetOutOfRange) {
			offset = k.firstOffset(ctx, at, offset)
		}
		if !pause(ctx, backoff) {
			return nil, 0, fmt.Errorf("read %s/%d at offset %d: %w", at.Topic, at.Partition, offset, err)
		}
		k.refresh()
	}
}

// firstOffset asks where a partition begins: a broker does not say so in the
// answer that an offset is out of range. Without an answer it is otherwise.
func (k *Kafka) firstOffset(ctx context.Context, at event.Place, otherwise int64) int64 {
	answer, err := k.client.ListOffsets(ctx, &kafka.ListOffsetsRequest{
		Topics: map[string][]kafka.OffsetRequest{at.Topic: {kafka.FirstOffsetOf(at.Partition)}},
	})
	if err != nil {
		return otherwise
	}
	for _, p := range answer.Topics[at.Topic] {
		if p.Partition == at.Partition && p.Error == nil {
			return p.FirstOffset
		}
	}
	return otherwise
}

// scan returns the offset of the first record from an offset on that has the
// headers, or else the offset behind the last record.
func scan(records kafka.RecordReader, from int64, headers []event.Header) (int64, bool, error) {
	next := from
	for {
		r, err := records.ReadRecord()
		if errors.Is(err, io.EOF) {
			return next, false, nil
		}
		if err != nil {
			return next, false, fmt.Errorf("read a record: %w", err)
		}
		if r.Offset < from {
			continue // a batch is sent whole, from its beginning
		}
		if hasAll(r.Headers, headers) {
			return r.Offset, true, nil
		}
		next = r.Offset + 1
	}
}

func hasAll(have []kafka.Header, want []event.Header) bool {
	for _, w := range want {
		if !has(have, w) {
			return false
		}
	}
	return true
}

func has(have []kafka.Header, want event.Header) bool {
	for _, h := range have {
		if h.Key == want.Key && bytes.Equal(h.Value, want.Value) {
			return true
		}
	}
	return false
}
