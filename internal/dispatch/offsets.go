package dispatch

import (
	"context"
	"fmt"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/listoffsets"
	"github.com/segmentio/kafka-go/protocol/metadata"
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
	partition := listoffsets.RequestPartition{Partition: int32(at.Partition), CurrentLeaderEpoch: epoch, Timestamp: timestamp}
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

// askLeader asks the leader, and nobody else, for an offset in all of its log.
// The broker keeps only consumers to the leader: the debugger is told by any
// replica. So the request names the leader's epoch, which comes from the same metadata as the broker it
// goes to. One that is in another epoch, the former leader for one, refuses.
func (k *Kafka) askLeader(ctx context.Context, timestamp int64, at event.Place) (int64, error) {
	epoch, err := k.leaderEpoch(ctx, at)
	if err != nil {
		return 0, err
	}
	if newest := k.lane(at).sawEpoch(epoch); epoch < newest {
		return 0, fmt.Errorf("the metadata of %s/%d is of epoch %d, and there was %d", at.Topic, at.Partition, epoch, newest)
	}
	if _, err := k.askOffset(ctx, consumer, kafka.LastOffset, epoch, at); err != nil {
		return 0, err // it is not the leader
	}
	offset, err := k.askOffset(ctx, debugger, timestamp, epoch, at)
	if err != nil {
		return 0, err
	}
	if _, err := k.askOffset(ctx, consumer, kafka.LastOffset, epoch, at); err != nil {
		return 0, err // nor was it all the time
	}
	return offset, nil
}

func (k *Kafka) leaderEpoch(ctx context.Context, at event.Place) (int32, error) {
	client := k.clientFor(at.Topic)
	answer, err := client.Transport.RoundTrip(ctx, client.Addr, &metadata.Request{TopicNames: []string{at.Topic}})
	if err != nil {
		return 0, err
	}
	for _, topic := range answer.(*metadata.Response).Topics {
		for _, p := range topic.Partitions {
			if topic.Name == at.Topic && int(p.PartitionIndex) == at.Partition && p.ErrorCode == 0 {
				return p.LeaderEpoch, nil
			}
		}
	}
	return 0, fmt.Errorf("%s/%d has no leader", at.Topic, at.Partition)
}
