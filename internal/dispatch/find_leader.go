package dispatch

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/metadata"

	"awareid-gateway/internal/event"
)

// leaderEpoch is the newest epoch of a partition's leader that any broker knows
// of. A majority of the brokers must say: one alone may be the former leader,
// which was suspended or cut off and knows of no successor. All are asked at
// once, so the successor is among them. With fewer answers it is an error.
func (k *Kafka) leaderEpoch(ctx context.Context, at event.Place) (int32, error) {
	ctx, cancel := context.WithTimeout(ctx, k.opts.ProduceTimeout/3)
	defer cancel()
	brokers, err := k.brokers(ctx, at.Topic)
	if err != nil {
		return 0, err
	}
	views := make(chan view, len(brokers))
	for _, b := range brokers {
		go func() { views <- k.askView(ctx, b.NodeID, at) }()
	}
	epochs, lost := collect(ctx, views, len(brokers))
	if !isMajority(len(epochs), len(brokers)) {
		return 0, fmt.Errorf("only %d of %d brokers say who leads %s/%d: %w", len(epochs), len(brokers), at.Topic, at.Partition, lost)
	}
	return slices.Max(epochs), nil
}

// brokers are those that any of them knew of when it was last asked for metadata.
func (k *Kafka) brokers(ctx context.Context, topic string) ([]metadata.ResponseBroker, error) {
	client := k.clientFor(topic)
	answer, err := client.Transport.RoundTrip(ctx, client.Addr, &metadata.Request{TopicNames: []string{topic}})
	if err != nil {
		return nil, err
	}
	return answer.(*metadata.Response).Brokers, nil
}

// stragglers is how much longer the other brokers have once a majority has
// answered: the successor may be the slowest.
const stragglers = 250 * time.Millisecond

// collect returns the epochs that were answered in time, and an error where some
// were not.
func collect(ctx context.Context, views <-chan view, brokers int) (epochs []int32, lost error) {
	var enough <-chan time.Time
	for range brokers {
		select {
		case v := <-views:
			if v.err != nil {
				lost = v.err
				continue
			}
			epochs = append(epochs, v.epoch)
			if enough == nil && isMajority(len(epochs), brokers) {
				enough = time.After(stragglers)
			}
		case <-enough:
			return epochs, lost
		case <-ctx.Done():
			return epochs, ctx.Err()
		}
	}
	return epochs, lost
}

func isMajority(n, of int) bool { return 2*n > of }

// view is what one broker knows of a partition's leader.
type view struct {
	epoch int32
	err   error
}

func (k *Kafka) askView(ctx context.Context, broker int32, at event.Place) view {
	client := k.clientFor(at.Topic)
	answer, err := client.Transport.RoundTrip(ctx, client.Addr, &viewRequest{broker: broker, topic: at.Topic})
	if err != nil {
		return view{err: fmt.Errorf("broker %d: %w", broker, err)}
	}
	for _, topic := range answer.(*viewAnswer).Topics {
		for _, p := range topic.Partitions {
			if topic.Name == at.Topic && int(p.PartitionIndex) == at.Partition && p.LeaderEpoch >= 0 {
				return view{epoch: p.LeaderEpoch}
			}
		}
	}
	return view{err: fmt.Errorf("broker %d knows of no leader", broker)}
}

// viewRequest asks one broker for its metadata of a topic. kafka-go answers such
// a request itself, of what any broker told it a while ago, unless it is one
// that it has to split: this one is split into itself.
type viewRequest struct {
	broker int32
	topic  string
	rights bool // ask for what this user may do with it, too
}

// ApiKey implements protocol.Message.
func (r *viewRequest) ApiKey() protocol.ApiKey { return protocol.Metadata }

// Split implements protocol.Splitter.
func (r *viewRequest) Split(protocol.Cluster) ([]protocol.Message, protocol.Merger, error) {
	return []protocol.Message{&brokerMetadata{TopicNames: []string{r.topic}, IncludeTopicAuthorizedOperations: r.rights, broker: r.broker}}, r, nil
}

// Merge implements protocol.Merger.
func (r *viewRequest) Merge(_ []protocol.Message, results []any) (protocol.Message, error) {
	answer, err := protocol.Result(results[0])
	if err != nil {
		return nil, err
	}
	return (*viewAnswer)(answer.(*metadata.Response)), nil
}

// viewAnswer is the answer to it.
type viewAnswer metadata.Response

// ApiKey implements protocol.Message.
func (a *viewAnswer) ApiKey() protocol.ApiKey { return protocol.Metadata }

// brokerMetadata is kafka-go's Metadata request for one broker. Its exported
// fields are those of metadata.Request, in their order: so it is encoded.
type brokerMetadata struct {
	TopicNames                         []string
	AllowAutoTopicCreation             bool
	IncludeClusterAuthorizedOperations bool
	IncludeTopicAuthorizedOperations   bool

	broker int32
}

// ApiKey implements protocol.Message.
func (r *brokerMetadata) ApiKey() protocol.ApiKey { return protocol.Metadata }

// Broker implements protocol.BrokerMessage.
func (r *brokerMetadata) Broker(c protocol.Cluster) (protocol.Broker, error) {
	b, known := c.Brokers[r.broker]
	if !known {
		return b, fmt.Errorf("broker %d is not known any more", r.broker)
	}
	return b, nil
}
