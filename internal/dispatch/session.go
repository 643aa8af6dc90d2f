package dispatch

import (
	"context"
	"fmt"

	"github.com/segmentio/kafka-go"
)

// session is an idempotent producer's (KIP-98). The producer id may be that of
// other lanes too: brokers count by producer and partition. Its sequence counts
// the records that this lane has written under its id.
type session struct {
	id       int64
	epoch    int16
	sequence int32
	open     bool
}

// noProducer is no producer's id.
const noProducer = -1

// openSession asks for a producer id, if there is none, until the context ends.
func (l *lane) openSession(ctx context.Context) error {
	for backoff := firstBackoff; !l.session.open; backoff = min(2*backoff, lastBackoff) {
		fresh, err := l.kafka.producerAfter(ctx, l.session.id)
		if err == nil {
			l.session = fresh
			return nil
		}
		l.noteHealth(notStored)
		if !pause(ctx, backoff) {
			return fmt.Errorf("%w: open an idempotent producer: %w", ErrNotStored, err)
		}
		l.kafka.refresh()
	}
	return nil
}

// producerAfter returns a session of another producer than the spent one, whose
// sequence in some partition cannot be continued. Lanes share the latest: of many
// partitions that begin, or fail, together, one asks.
func (k *Kafka) producerAfter(ctx context.Context, spent int64) (session, error) {
	if latest := k.producer.Load(); latest != nil && latest.id != spent {
		return *latest, nil
	}
	asked := k.asking.DoChan("", func() (any, error) {
		if latest := k.producer.Load(); latest != nil && latest.id != spent {
			return latest, nil
		}
		return k.askForProducer()
	})
	select {
	case answer := <-asked:
		if answer.Err != nil {
			return session{}, answer.Err
		}
		return *answer.Val.(*session), nil
	case <-ctx.Done():
		return session{}, ctx.Err()
	}
}

func (k *Kafka) askForProducer() (*session, error) {
	ctx, cancel := context.WithTimeout(k.life, k.opts.ProduceTimeout/3)
	defer cancel()
	answer, err := k.client.InitProducerID(ctx, &kafka.InitProducerIDRequest{})
	if err != nil {
		return nil, err
	}
	if answer.Error != nil {
		return nil, answer.Error
	}
	s := &session{id: int64(answer.Producer.ProducerID), epoch: int16(answer.Producer.ProducerEpoch), open: true} // #nosec G115 -- came as int16
	k.producer.Store(s)
	return s, nil
}
