package dispatch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/fetch"

	"awareid-gateway/internal/event"
)

const (
	findMaxBytes = 4 << 20 // of one fetch
	findMaxWait  = 100 * time.Millisecond
)

// fetchOnce asks the leader of an epoch for records from an offset on. kafka-go's
// own Fetch does not name the epoch. OffsetOutOfRange is an error of its own.
func (k *Kafka) fetchOnce(ctx context.Context, at event.Place, epoch int32, offset int64) (*kafka.FetchResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, k.opts.ProduceTimeout)
	defer cancel()
	client := k.clientFor(at.Topic)
	answer, err := client.Transport.RoundTrip(ctx, client.Addr, &fetch.Request{
		ReplicaID: consumer, MinBytes: 1, MaxBytes: findMaxBytes, MaxWaitTime: int32(findMaxWait.Milliseconds()), // #nosec G115 -- a constant
		SessionID: noSession, SessionEpoch: noSession,
		Topics: []fetch.RequestTopic{{Topic: at.Topic, Partitions: []fetch.RequestPartition{{
			Partition: int32(at.Partition), CurrentLeaderEpoch: epoch, FetchOffset: offset, // #nosec G115 -- came as int32
			LogStartOffset: noOffset, PartitionMaxBytes: findMaxBytes,
		}}}},
	})
	if err != nil {
		return nil, err
	}
	return partitionOf(answer.(*fetch.Response), at)
}

const (
	noSession = -1
	noOffset  = -1
)

func partitionOf(answer *fetch.Response, at event.Place) (*kafka.FetchResponse, error) {
	if answer.ErrorCode != 0 {
		return nil, kafka.Error(answer.ErrorCode)
	}
	for _, topic := range answer.Topics {
		for _, p := range topic.Partitions {
			switch {
			case topic.Topic != at.Topic || int(p.Partition) != at.Partition:
			case p.ErrorCode != 0:
				return nil, kafka.Error(p.ErrorCode)
			case p.RecordSet.Records == nil:
				return &kafka.FetchResponse{HighWatermark: p.HighWatermark, Records: kafka.NewRecordReader()}, nil
			default:
				return &kafka.FetchResponse{HighWatermark: p.HighWatermark, Records: p.RecordSet.Records}, nil
			}
		}
	}
	return nil, errors.New("the leader does not answer for the partition") // a throttled fetch for one
}

// fetch asks for records from an offset, or from the first there is where that
// one is out of range, until the context ends. It returns from where it read.
func (k *Kafka) fetch(ctx context.Context, at event.Place, offset int64) (*kafka.FetchResponse, int64, error) {
	var answer *kafka.FetchResponse
	err := k.insist(ctx, func() (err error) {
		answer, err = k.fetchOnce(ctx, at, anyEpoch, offset)
		if errors.Is(err, kafka.OffsetOutOfRange) {
			// The broker does not say here where the partition begins.
			if first, askErr := k.askOffset(ctx, consumer, kafka.FirstOffset, anyEpoch, at); askErr == nil {
				offset = first
			}
		}
		return err
	})
	if err != nil {
		return nil, 0, fmt.Errorf("read %s/%d at offset %d: %w", at.Topic, at.Partition, offset, err)
	}
	return answer, offset, nil
}

// insist tries until it succeeds or the context ends, and returns the last error.
func (k *Kafka) insist(ctx context.Context, try func() error) error {
	for backoff := firstBackoff; ; backoff = min(2*backoff, lastBackoff) {
		err := try()
		if err == nil || !pause(ctx, backoff) {
			return err
		}
		k.refresh()
	}
}

// walk calls each for every record of an answer from an offset on, and returns
// the offset behind the last record, or the last mark of a transaction, that all
// in-sync replicas have. An error of each ends it and is returned as it is. The
// record is valid during the call.
func walk(answer *kafka.FetchResponse, from int64, each func(*kafka.Record) error) (int64, error) {
	next := from
	for _, batch := range batchesOf(answer.Records) {
		_, marks := batch.(*protocol.ControlBatch)
		for {
			r, err := batch.ReadRecord()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return next, fmt.Errorf("read a record: %w", err)
			}
			switch {
			case r.Offset < from: // a batch is sent whole, from its beginning
				continue
			case r.Offset >= answer.HighWatermark:
				return next, nil
			case !marks:
				if err := each(r); err != nil {
					return next, err
				}
			}
			next = r.Offset + 1
		}
	}
	return next, nil
}

// standstill says why nothing came from an offset on.
func standstill(offset, highWatermark int64) error {
	if offset < highWatermark {
		return fmt.Errorf("nothing at offset %d below %d", offset, highWatermark)
	}
	return fmt.Errorf("the replicas lack what the leader has from offset %d on", offset)
}

// batchesOf are those of an answer with the marks, which its own reader leaves out.
func batchesOf(records kafka.RecordReader) []kafka.RecordReader {
	if stream, ok := records.(*protocol.RecordStream); ok {
		return stream.Records
	}
	return []kafka.RecordReader{records}
}
