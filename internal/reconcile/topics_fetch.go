package reconcile

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"

	"awareid-gateway/internal/event"
)

// readOn reads once from an offset on, and returns how far it came.
func (t *Topics) readOn(ctx context.Context, at event.Place, from, end int64, each func(Record) error) (next int64, err error) {
	var answer *kafka.FetchResponse
	err = t.insist(ctx, "read", at, func(ctx context.Context) error {
		answer, err = t.fetch(ctx, at, from, fetchBytes)
		if errors.Is(err, kafka.OffsetOutOfRange) {
			from, err = t.passDeleted(ctx, at, from)
			if err == nil && from < end {
				err = errDeleted
			}
			return err
		}
		if err == nil && !holdsAny(answer) {
			err = errEmpty
		}
		return err
	})
	if err != nil || from >= end {
		return from, err
	}
	next, err = walk(answer, at, from, end, each)
	if err == nil && next == from {
		err = fmt.Errorf("read %s/%d: %w %d", at.Topic, at.Partition, errStandstill, from)
	}
	return next, err
}

var (
	errDeleted    = errors.New("records were deleted meanwhile")
	errEmpty      = errors.New("nothing came, although the partition does not end here")
	errCut        = errors.New("the log was cut")
	errStandstill = errors.New("no record comes after offset")
)

// passDeleted is where a partition begins now, which is behind what was to be read.
func (t *Topics) passDeleted(ctx context.Context, at event.Place, from int64) (int64, error) {
	answer, err := t.client.ListOffsets(ctx, &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{
		at.Topic: {kafka.FirstOffsetOf(at.Partition)},
	}})
	if err != nil {
		return from, err
	}
	partitions := answer.Topics[at.Topic]
	if len(partitions) == 0 {
		return from, errNoAnswer
	}
	first, err := offsetOf(partitions[0], kafka.FirstOffset)
	if err == nil && first < from {
		return from, errCut
	}
	return first, err
}

func (t *Topics) fetch(ctx context.Context, at event.Place, offset, most int64) (*kafka.FetchResponse, error) {
	answer, err := t.client.Fetch(ctx, &kafka.FetchRequest{
		Topic: at.Topic, Partition: at.Partition, Offset: offset, MinBytes: 1, MaxBytes: most, MaxWait: fetchWait,
	})
	if err != nil {
		return nil, err
	}
	return answer, answer.Error
}

// insist tries some times, each with its own time-out.
func (t *Topics) insist(ctx context.Context, what string, at event.Place, try func(context.Context) error) error {
	backoff := firstBackoff
	for n := 1; ; n++ {
		attempt, cancel := context.WithTimeout(ctx, t.opts.Timeout)
		err := try(attempt)
		cancel()
		if err == nil {
			return nil
		}
		if n == tries || sleep(ctx, backoff) != nil {
			return fmt.Errorf("%s %s/%d: %w", what, at.Topic, at.Partition, cmp.Or(context.Cause(ctx), err))
		}
		t.transport.CloseIdleConnections() // empties kafka-go's cache of who leads
		backoff = min(2*backoff, lastBackoff)
	}
}

// batchesOf are those of an answer with the marks of transactions, which its own
// reader leaves out: their offsets have to be passed.
func batchesOf(answer *kafka.FetchResponse) []kafka.RecordReader {
	if stream, ok := answer.Records.(*protocol.RecordStream); ok {
		return stream.Records
	}
	return []kafka.RecordReader{answer.Records}
}

// holdsAny is false for an answer without a batch.
func holdsAny(answer *kafka.FetchResponse) bool {
	stream, ok := answer.Records.(*protocol.RecordStream)
	return ok && len(stream.Records) > 0
}

// walk calls each for every record of an answer within the offsets, and returns the
// one behind the last.
func walk(answer *kafka.FetchResponse, at event.Place, from, end int64, each func(Record) error) (int64, error) {
	next := from
	var headers []event.Header
	for _, batch := range batchesOf(answer) {
		_, marks := batch.(*protocol.ControlBatch)
		for {
			r, err := batch.ReadRecord()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return next, fmt.Errorf("read a record of %s/%d: %w", at.Topic, at.Partition, err)
			}
			if r.Offset < from { // a batch is sent whole, from its beginning
				continue
			}
			if r.Offset >= end {
				return end, nil
			}
			if !marks {
				record, err := recordOf(r, at, headers[:0])
				if err != nil {
					return next, err
				}
				headers = record.Headers
				if err := each(record); err != nil {
					return next, err
				}
			}
			next = r.Offset + 1
		}
	}
	return next, nil
}

func recordOf(r *kafka.Record, at event.Place, headers []event.Header) (Record, error) {
	position := Position{Place: at, Offset: r.Offset}
	value, err := protocol.ReadAll(r.Value)
	if err != nil {
		return Record{}, fmt.Errorf("read %s: %w", position, err)
	}
	for _, h := range r.Headers {
		headers = append(headers, event.Header(h))
	}
	return Record{At: position, Time: r.Time, Headers: headers, Value: value}, nil
}

var _ Records = (*Topics)(nil)
