package dispatch

import (
	"context"

	"awareid-gateway/internal/event"
)

// Places implements History.
func (k *Kafka) Places(ctx context.Context) ([]event.Place, error) {
	if err := k.look(ctx); err != nil {
		return nil, err
	}
	k.mu.RLock()
	defer k.mu.RUnlock()
	var places []event.Place
	for topic, partitions := range k.topics {
		for _, p := range partitions {
			places = append(places, event.Place{Topic: topic, Partition: p})
		}
	}
	return places, nil
}

// Empty implements History.
func (k *Kafka) Empty(ctx context.Context) (bool, error) {
	places, err := k.Places(ctx)
	if err != nil {
		return false, err
	}
	for _, at := range places {
		if k.lane(at).end() != 0 {
			return false, nil
		}
	}
	return true, nil
}
