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
// acknowledged lies below that.
func (k *Kafka) Find(ctx context.Context, at event.Place, from int64, headers []event.Header) (int64, bool, error) {
	end := int64(-1)
	for offset := from; end < 0 || offset < end; {
		answer, err := k.fetch(ctx, at, offset)
		if err != nil {
			return 0, false, err
		}
		if end < 0 {
			end = answer.HighWatermark
		}
		next, found, err := scan(answer.Records, offset, headers)
		if found || err != nil {
			return next, found, err
		}
		if next == offset && offset < end {
			return 0, false, fmt.Errorf("read %s/%d: nothing at offset %d below %d", at.Topic, at.Partition, offset, end)
		}
		offset = next
	}
	return 0, false, nil
}

// fetch asks for records from an offset, until the context ends. Where
// retention has deleted that offset it asks from the first that is left.
func (k *Kafka) fetch(ctx context.Context, at event.Place, offset int64) (*kafka.FetchResponse, error) {
	for backoff := firstBackoff; ; backoff = min(2*backoff, lastBackoff) {
		answer, err := k.client.Fetch(ctx, &kafka.FetchRequest{
			Topic: at.Topic, Partition: at.Partition, Offset: offset,
			MinBytes: 1, MaxBytes: findMaxBytes, MaxWait: findMaxWait,
		})
		if err == nil {
			err = answer.Error
		}
		if err == nil {
			return answer, nil
		}
		if errors.Is(err, kafka.OffsetOutOfRange) && answer.LogStartOffset > offset {
			offset = answer.LogStartOffset
		}
		if !pause(ctx, backoff) {
			return nil, fmt.Errorf("read %s/%d at offset %d: %w", at.Topic, at.Partition, offset, err)
		}
		k.refresh()
	}
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
