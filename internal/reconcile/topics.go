package reconcile

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/sasl"

	"awareid-gateway/internal/event"
)

// TopicsOptions say how to reach Kafka and what to read there.
type TopicsOptions struct {
	Brokers  []string // host:port
	ClientID string
	TLS      *tls.Config    // nil: plain TCP
	SASL     sasl.Mechanism // nil: none
	Topics   []string
	Timeout  time.Duration // of one request
}

// Topics reads topics, whoever wrote to them. It reads what all in-sync replicas
// have, records of aborted transactions too, and leaves out the marks of
// transactions. What retention has deleted, or deletes meanwhile, is left out. What
// fails is tried again for some seconds; the error then names the topic and the
// partition, and nothing of a record. It is safe for concurrent use, but for a
// Cursor.
type Topics struct {
	opts      TopicsOptions
	client    *kafka.Client
	transport *kafka.Transport
}

const (
	fetchBytes  = 4 << 20
	recordBytes = 64 << 10 // asked for where one record is wanted; a larger one comes whole
	fetchWait   = 100 * time.Millisecond
	dialTimeout = 3 * time.Second
	// metadataTTL is long, as it is also how often kafka-go asks between two runs. A
	// failed request makes it ask at once.
	metadataTTL  = time.Minute
	tries        = 6
	firstBackoff = 100 * time.Millisecond
	lastBackoff  = 2 * time.Second
)

// NewTopics connects to nothing yet.
func NewTopics(o TopicsOptions) *Topics {
	transport := &kafka.Transport{
		ClientID: o.ClientID, TLS: o.TLS, SASL: o.SASL, DialTimeout: dialTimeout,
		MetadataTopics: o.Topics, MetadataTTL: metadataTTL,
	}
	return &Topics{opts: o, transport: transport, client: &kafka.Client{Addr: kafka.TCP(o.Brokers...), Transport: transport}}
}

// Close drops the connections. The topics can still be read.
func (t *Topics) Close() { t.transport.CloseIdleConnections() }

// Start implements Records.
func (t *Topics) Start(ctx context.Context, since time.Time) (Cursor, error) {
	places, err := t.places(ctx)
	if err != nil {
		return nil, err
	}
	c := Cursor{}
	for _, at := range places {
		if c[at], err = t.offsetAt(ctx, at, since); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// Read implements Records.
func (t *Topics) Read(ctx context.Context, c Cursor, each func(Record) error) error {
	for _, at := range slices.SortedFunc(maps.Keys(c), comparePlaces) {
		end, err := t.offset(ctx, at, kafka.LastOffset)
		for err == nil && c[at] < end {
			c[at], err = t.readOn(ctx, at, c[at], end, each)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// ReadAt implements Records.
func (t *Topics) ReadAt(ctx context.Context, at Position) (Record, error) {
	var found *Record
	err := t.insist(ctx, "read", at.Place, func(ctx context.Context) error {
		answer, err := t.fetch(ctx, at.Place, at.Offset, recordBytes)
		switch {
		case errors.Is(err, kafka.OffsetOutOfRange):
			return nil
		case err != nil:
			return err
		case !holdsAny(answer):
			return errEmpty
		}
		_, err = walk(answer, at.Place, at.Offset, at.Offset+1, func(r Record) error {
			r.Headers = slices.Clone(r.Headers)
			found = &r
			return nil
		})
		return err
	})
	if err == nil && found == nil {
		err = fmt.Errorf("read %s: %w", at, ErrGone)
	}
	if err != nil {
		return Record{}, err
	}
	return *found, nil
}

func (t *Topics) places(ctx context.Context) (places []event.Place, err error) {
	ctx, cancel := context.WithTimeout(ctx, t.opts.Timeout)
	defer cancel()
	meta, err := t.client.Metadata(ctx, &kafka.MetadataRequest{Topics: t.opts.Topics})
	if err != nil {
		return nil, fmt.Errorf("ask Kafka for its topics: %w", err)
	}
	for _, topic := range meta.Topics {
		if topic.Error != nil {
			return nil, fmt.Errorf("topic %s: %w", topic.Name, topic.Error)
		}
		for _, p := range topic.Partitions {
			places = append(places, event.Place{Topic: topic.Name, Partition: p.ID})
		}
	}
	return places, nil
}

// offsetAt is an offset that no record as young as a time precedes.
//
// Kafka says that there is none also where the first segment that ever held such a
// record lies below the log's beginning and is not deleted yet. So its word is
// taken for it only if the last record is older too.
func (t *Topics) offsetAt(ctx context.Context, at event.Place, since time.Time) (int64, error) {
	if since.IsZero() {
		return t.offset(ctx, at, kafka.FirstOffset)
	}
	offset, err := t.offset(ctx, at, max(since.UnixMilli(), 0))
	if err != nil || offset >= 0 {
		return offset, err
	}
	end, err := t.offset(ctx, at, kafka.LastOffset)
	if err != nil || end == 0 {
		return end, err
	}
	last, err := t.ReadAt(ctx, Position{Place: at, Offset: end - 1})
	switch {
	case err == nil && last.Time.Before(since):
		return end, nil
	case err != nil && !errors.Is(err, ErrGone): // a mark, or deleted
		return 0, err
	}
	return t.offset(ctx, at, kafka.FirstOffset)
}

// offset asks for the first or the last offset of a partition, or that of the first
// record as young as a time in Unix milliseconds; that is -1 where there is none.
func (t *Topics) offset(ctx context.Context, at event.Place, timestamp int64) (offset int64, err error) {
	err = t.insist(ctx, "ask for an offset of", at, func(ctx context.Context) error {
		answer, err := t.client.ListOffsets(ctx, &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{
			at.Topic: {{Partition: at.Partition, Timestamp: timestamp}},
		}})
		if err != nil {
			return err
		}
		for _, p := range answer.Topics[at.Topic] {
			if p.Partition == at.Partition {
				offset, err = offsetOf(p, timestamp)
				return err
			}
		}
		return errNoAnswer
	})
	return offset, err
}

var errNoAnswer = errors.New("the leader does not say")

func offsetOf(p kafka.PartitionOffsets, timestamp int64) (int64, error) {
	switch {
	case p.Error != nil:
		return 0, p.Error
	case timestamp == kafka.FirstOffset:
		return p.FirstOffset, nil
	case timestamp == kafka.LastOffset:
		return p.LastOffset, nil
	}
	for offset := range p.Offsets {
		return offset, nil
	}
	return 0, errNoAnswer
}

func comparePlaces(a, b event.Place) int {
	return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
}
