package dispatch

import (
	"context"
	"errors"
	"fmt"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/listoffsets"
	"golang.org/x/sync/errgroup"

	"awareid-gateway/internal/event"
)

// offsetsRequest is kafka-go's ListOffsets request without its Split, which
// makes a request of every partition and opens a connection for each: this one
// asks a broker for all of its partitions at once, and can say on whose behalf.
type offsetsRequest listoffsets.Request

// ApiKey implements protocol.Message.
func (r *offsetsRequest) ApiKey() protocol.ApiKey { return protocol.ListOffsets }

// Broker is the leader of the partitions: all have the same.
func (r *offsetsRequest) Broker(c protocol.Cluster) (protocol.Broker, error) {
	return (*listoffsets.Request)(r).Broker(c)
}

const (
	// consumer is told of what all in-sync replicas have: the high watermark.
	consumer = -1
	// debugger is told of what the leader has, replicated or not.
	debugger = -2
	// anyEpoch fences nothing.
	anyEpoch = -1
)

func (k *Kafka) askOffsets(ctx context.Context, replica int32, timestamp int64, epoch int32, places []event.Place) (map[event.Place]int64, error) {
	request := &offsetsRequest{ReplicaID: replica}
	for _, at := range places {
		request.add(at, timestamp, epoch)
	}
	client := k.clientFor(places[0].Topic)
	answer, err := client.Transport.RoundTrip(ctx, client.Addr, request)
	if err != nil {
		return nil, err
	}
	offsets := make(map[event.Place]int64, len(places))
	for _, topic := range answer.(*listoffsets.Response).Topics {
		for _, p := range topic.Partitions {
			if p.ErrorCode == 0 {
				offsets[event.Place{Topic: topic.Topic, Partition: int(p.Partition)}] = p.Offset
			}
		}
	}
	return offsets, nil
}

func (r *offsetsRequest) add(at event.Place, timestamp int64, epoch int32) {
	partition := listoffsets.RequestPartition{Partition: int32(at.Partition), CurrentLeaderEpoch: epoch, Timestamp: timestamp} // #nosec G115 -- came as int32
	for i := range r.Topics {
		if r.Topics[i].Topic == at.Topic {
			r.Topics[i].Partitions = append(r.Topics[i].Partitions, partition)
			return
		}
	}
	r.Topics = append(r.Topics, listoffsets.RequestTopic{Topic: at.Topic, Partitions: []listoffsets.RequestPartition{partition}})
}

// askEnds asks every leader where its partitions end. A partition that has no
// leader now, or whose leader does not answer for it, is missing.
func (k *Kafka) askEnds(ctx context.Context, topics []kafka.Topic) (map[event.Place]int64, error) {
	led := map[int][]event.Place{}
	for _, topic := range topics {
		for _, p := range topic.Partitions {
			led[p.Leader.ID] = append(led[p.Leader.ID], event.Place{Topic: topic.Name, Partition: p.ID})
		}
	}
	answers := make(chan map[event.Place]int64, len(led))
	group, ctx := errgroup.WithContext(ctx)
	for _, places := range led {
		group.Go(func() error {
			offsets, err := k.askOffsets(ctx, consumer, kafka.LastOffset, anyEpoch, places)
			answers <- offsets
			return err
		})
	}
	err := group.Wait()
	close(answers)
	ends := map[event.Place]int64{}
	for offsets := range answers {
		for at, end := range offsets {
			ends[at] = end
		}
	}
	if err != nil && len(ends) == 0 {
		return nil, err
	}
	return ends, nil
}

// askOffset asks for one offset of one partition.
func (k *Kafka) askOffset(ctx context.Context, replica int32, timestamp int64, epoch int32, at event.Place) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, k.opts.ProduceTimeout/3)
	defer cancel()
	offsets, err := k.askOffsets(ctx, replica, timestamp, epoch, []event.Place{at})
	if err != nil {
		return 0, err
	}
	offset, ok := offsets[at]
	if !ok {
		return 0, fmt.Errorf("the leader of %s/%d does not say", at.Topic, at.Partition)
	}
	return offset, nil
}

// frontier is how far a leader's log reaches.
type frontier struct {
	epoch         int32 // of the leader
	highWatermark int64 // all in-sync replicas have what lies below
	end           int64 // the leader has
}

// askFrontier asks the leader, and nobody else. The broker keeps only consumers
// to the leader: the debugger is told by any replica. So the requests name the
// leader's epoch. A broker that is in another epoch refuses: the former leader
// for one, which was suspended or cut off and takes itself for the leader yet.
func (k *Kafka) askFrontier(ctx context.Context, at event.Place) (frontier, error) {
	epoch, err := k.leaderEpoch(ctx, at)
	if err != nil {
		return frontier{}, err
	}
	if newest := k.lane(at).sawEpoch(epoch); epoch < newest {
		return frontier{}, fmt.Errorf("the brokers know of epoch %d of %s/%d, and there was %d", epoch, at.Topic, at.Partition, newest)
	}
	highWatermark, err := k.askOffset(ctx, consumer, kafka.LastOffset, epoch, at)
	if err != nil {
		return frontier{}, err // it is not the leader
	}
	end, err := k.askOffset(ctx, debugger, kafka.LastOffset, epoch, at)
	if err != nil {
		return frontier{}, err
	}
	if _, err := k.askOffset(ctx, consumer, kafka.LastOffset, epoch, at); err != nil {
		return frontier{}, err // nor was it all the time
	}
	return frontier{epoch: epoch, highWatermark: highWatermark, end: end}, nil
}

// offsetAt is an offset that no record as young as a time, in Unix milliseconds,
// precedes: that of the first such record, as a rule. Where there is none below
// the high watermark it is the high watermark.
//
// Kafka says that there is none also where the first segment that ever held such
// a record lies below the log's beginning and is not deleted yet. So its word is
// taken for it only if the last record is older too; if not, it is the log's
// beginning.
func (k *Kafka) offsetAt(ctx context.Context, at event.Place, timestamp int64, f frontier) (int64, error) {
	offset, err := k.askOffset(ctx, consumer, timestamp, f.epoch, at)
	if err != nil || offset >= 0 {
		return offset, err
	}
	older, err := k.lastIsOlder(ctx, at, timestamp, f)
	switch {
	case err != nil:
		return 0, err
	case older:
		return f.highWatermark, nil
	}
	return k.askOffset(ctx, consumer, kafka.FirstOffset, f.epoch, at)
}

// lastIsOlder looks at the last record below the high watermark. It is true where
// there is none.
func (k *Kafka) lastIsOlder(ctx context.Context, at event.Place, timestamp int64, f frontier) (bool, error) {
	if f.highWatermark == 0 {
		return true, nil
	}
	answer, err := k.fetchOnce(ctx, at, f.epoch, f.highWatermark-1)
	if errors.Is(err, kafka.OffsetOutOfRange) {
		return true, nil // it is deleted
	}
	if err != nil {
		return false, err
	}
	older := false
	_, err = walk(answer, f.highWatermark-1, func(r *kafka.Record) error {
		older = r.Time.UnixMilli() < timestamp
		return nil
	})
	return older, err
}
