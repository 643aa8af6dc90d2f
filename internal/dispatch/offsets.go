package dispatch

import (
	"context"
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
)

func (k *Kafka) askOffsets(ctx context.Context, replica int32, timestamp int64, places []event.Place) (map[event.Place]int64, error) {
	request := &offsetsRequest{ReplicaID: replica}
	for _, at := range places {
		request.add(at, timestamp)
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

func (r *offsetsRequest) add(at event.Place, timestamp int64) {
	partition := listoffsets.RequestPartition{Partition: int32(at.Partition), CurrentLeaderEpoch: -1, Timestamp: timestamp}
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
			offsets, err := k.askOffsets(ctx, consumer, kafka.LastOffset, places)
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
func (k *Kafka) askOffset(ctx context.Context, replica int32, timestamp int64, at event.Place) (int64, error) {
	offsets, err := k.askOffsets(ctx, replica, timestamp, []event.Place{at})
	if err != nil {
		return 0, err
	}
	offset, ok := offsets[at]
	if !ok {
		return 0, fmt.Errorf("the leader of %s/%d does not say", at.Topic, at.Partition)
	}
	return offset, nil
}
