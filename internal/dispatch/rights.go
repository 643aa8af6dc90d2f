package dispatch

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/segmentio/kafka-go"
)

// rights are the operations that the gateway needs on each topic, by their
// place in what brokers tell (KIP-430). Read is for looking whether an earlier
// owner has stored an event.
var rights = []struct {
	place int
	name  string
}{{3, "Read"}, {4, "Write"}, {8, "Describe"}, {10, "DescribeConfigs"}}

// notTold is what a broker answers that keeps no rights or tells none. One before
// Kafka 2.3 has no such field, which reads as 0; no broker that tells means that: who
// may not even Describe is refused.
const notTold = math.MinInt32

// errRightsNotTold is for brokers that are too old to tell.
var errRightsNotTold = errors.New("the brokers do not tell what this user may do")

// ReviewRights asks what this user may do, and changes nothing. It returns a
// line for each topic and for the cluster where something is missing, with the
// name of what to allow; brokers without an authorizer allow everything. The
// topics must be there.
func (k *Kafka) ReviewRights(ctx context.Context) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, k.opts.ProduceTimeout)
	defer cancel()
	var missing []string
	for _, topic := range k.opts.Topics {
		allowed, err := k.allowed(ctx, topic)
		if err != nil {
			return nil, fmt.Errorf("ask Kafka for the rights on topic %s: %w", topic, err)
		}
		if lacking := lackingRights(allowed); len(lacking) > 0 {
			missing = append(missing, fmt.Sprintf("topic %s: this user lacks %s", topic, strings.Join(lacking, ", ")))
		}
	}
	err := k.producerID(ctx)
	switch {
	case errors.Is(err, kafka.ClusterAuthorizationFailed):
		missing = append(missing, "cluster: this user lacks IdempotentWrite")
	case err != nil:
		return nil, fmt.Errorf("ask Kafka for a producer id: %w", err)
	}
	return missing, nil
}

// producerID asks for one, again where a broker that has just begun asks for
// patience.
func (k *Kafka) producerID(ctx context.Context) error {
	for {
		answer, err := k.client.InitProducerID(ctx, &kafka.InitProducerIDRequest{})
		if err == nil {
			err = answer.Error
		}
		var refusal kafka.Error
		if !errors.As(err, &refusal) || !refusal.Temporary() || !pause(ctx, lastBackoff) {
			return err
		}
	}
}

func (k *Kafka) allowed(ctx context.Context, topic string) (int32, error) {
	brokers, err := k.brokers(ctx, topic)
	if err != nil {
		return 0, err
	}
	if len(brokers) == 0 {
		return 0, errRightsNotTold
	}
	answer, err := k.client.Transport.RoundTrip(ctx, k.client.Addr, &viewRequest{broker: brokers[0].NodeID, topic: topic, rights: true})
	if err != nil {
		return 0, err
	}
	for _, t := range answer.(*viewAnswer).Topics {
		switch {
		case t.Name != topic:
		case t.ErrorCode != 0:
			return 0, kafka.Error(t.ErrorCode)
		case t.TopicAuthorizedOperations == notTold, t.TopicAuthorizedOperations == 0:
			return 0, errRightsNotTold
		default:
			return t.TopicAuthorizedOperations, nil
		}
	}
	return 0, errRightsNotTold
}

func lackingRights(allowed int32) []string {
	var lacking []string
	for _, r := range rights {
		if allowed&(1<<r.place) == 0 {
			lacking = append(lacking, r.name)
		}
	}
	return lacking
}
