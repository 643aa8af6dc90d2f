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

// Find implements Producer. It reads the partition from an offset to the end of
// the leader's log, and waits there until all in-sync replicas have everything:
// a record that timed out for want of replicas lies above the high watermark,
// where no consumer sees it, and may yet come to stay. Where the partition does
// not have the offset it reads all there is: retention has deleted what was
// there, or the log is another one than when the offset was noted.
func (k *Kafka) Find(ctx context.Context, at event.Place, from int64, headers []event.Header) (int64, bool, error) {
	end, err := k.logEnd(ctx, at)
	if err != nil {
		return 0, false, err
	}
	if from > end {
		from = 0
	}
	for offset := from; offset < end; {
		answer, start, err := k.fetch(ctx, at, offset)
		if err != nil {
			return 0, false, err
		}
		next, found, err := scan(answer.Records, start, headers)
		switch {
		case found || err != nil:
			return next, found, err
		case next > start || start >= end:
		case answer.HighWatermark >= end:
			return 0, false, fmt.Errorf("read %s/%d: nothing at offset %d below %d", at.Topic, at.Partition, start, end)
		case !pause(ctx, findMaxWait):
			return 0, false, fmt.Errorf("read %s/%d: the replicas lack what the leader has from offset %d on", at.Topic, at.Partition, start)
		}
		offset = next
	}
	return 0, false, nil
}

// FindSince implements Producer. A record cannot lie before the first one that
// is as young as it is. What retention has deleted is not found.
func (k *Kafka) FindSince(ctx context.Context, at event.Place, since time.Time, headers []event.Header) (int64, bool, error) {
	from, err := k.leaderOffset(ctx, max(since.UnixMilli(), 0), at) // negative numbers mean ends, not times
	if err != nil || from < 0 {
		return 0, false, err
	}
	return k.Find(ctx, at, from, headers)
}

// logEnd is where the leader's log ends. It wants fresh metadata: what is cached
// may be of before the leader moved.
func (k *Kafka) logEnd(ctx context.Context, at event.Place) (int64, error) {
	k.refresh()
	return k.leaderOffset(ctx, kafka.LastOffset, at)
}

// leaderOffset asks for the offset at a time, in Unix milliseconds, until the
// leader answers or the context ends. It is negative where all records are older.
func (k *Kafka) leaderOffset(ctx context.Context, timestamp int64, at event.Place) (int64, error) {
	for backoff := firstBackoff; ; backoff = min(2*backoff, lastBackoff) {
		offset, err := k.askLeader(ctx, timestamp, at)
		if err == nil {
			return offset, nil
		}
		if !pause(ctx, backoff) {
			return 0, fmt.Errorf("ask for an offset of %s/%d: %w", at.Topic, at.Partition, err)
		}
		k.refresh()
	}
}

// fetch asks for records from an offset, or from the first there is where that
// one is out of range, until the context ends. It returns from where it read.
func (k *Kafka) fetch(ctx context.Context, at event.Place, offset int64) (*kafka.FetchResponse, int64, error) {
	for backoff := firstBackoff; ; backoff = min(2*backoff, lastBackoff) {
		answer, err := k.clientFor(at.Topic).Fetch(ctx, &kafka.FetchRequest{
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
			// The broker does not say here where the partition begins.
			if first, askErr := k.askOffset(ctx, consumer, kafka.FirstOffset, anyEpoch, at); askErr == nil {
				offset = first
			}
		}
		if !pause(ctx, backoff) {
			return nil, 0, fmt.Errorf("read %s/%d at offset %d: %w", at.Topic, at.Partition, offset, err)
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
