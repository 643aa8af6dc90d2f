package dispatch

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/sasl"
	"golang.org/x/sync/singleflight"

	"awareid-gateway/internal/event"
)

// dialFunc is that of net.Dialer.DialContext.
type dialFunc = func(ctx context.Context, network, address string) (net.Conn, error)

// KafkaOptions say how to reach Kafka and what to write there.
type KafkaOptions struct {
	Brokers        []string // host:port
	ClientID       string
	TLS            *tls.Config    // nil: plain TCP
	SASL           sasl.Mechanism // nil: none; see Kafka.SetSASL
	Topics         []string       // every topic that will be written to
	ProduceTimeout time.Duration  // the longest that one attempt at a record may take
	Log            *slog.Logger
	Dial           dialFunc // nil: TCP
}

// Kafka is the Producer for real brokers, on kafka-go's Client: its Writer
// repeats what timed out without idempotence. Safe for concurrent use.
type Kafka struct {
	opts      KafkaOptions
	signIn    signIn
	client    *kafka.Client
	transport *kafka.Transport

	maxBatchBytes atomic.Int64 // the smallest max.message.bytes of the topics
	contact       atomic.Int64 // when a broker answered last, in Unix nanoseconds
	reset         atomic.Int64 // when connections were dropped last
	searches      *searches

	producer atomic.Pointer[session] // the latest; nil: none yet
	asking   singleflight.Group      // for the next

	mu      sync.RWMutex
	topics  map[string][]int // partition ids, ascending
	lanes   map[event.Place]*lane
	senders map[int32]*sender        // by broker
	foreign map[string]*kafka.Client // for topics of claims made under other routes

	life    context.Context // ends with Close
	stop    context.CancelFunc
	stopped chan struct{} // nil: nothing watches
}

const (
	// watchEvery is how often partitions and their ends are looked up. It is
	// also how old the offset of a claim can be, beside the time one look takes.
	watchEvery = 2 * time.Second
	// idleTimeout keeps connections through quiet times; a new one costs the
	// next event several round trips.
	idleTimeout = 9 * time.Minute
	dialTimeout = 3 * time.Second
	// defaultMaxBatchBytes is Kafka's default for max.message.bytes.
	defaultMaxBatchBytes = 1_048_588
)

// NewKafka returns a producer that has not contacted anything yet.
func NewKafka(opts KafkaOptions) *Kafka {
	if opts.Dial == nil {
		opts.Dial = (&net.Dialer{Timeout: dialTimeout}).DialContext
	}
	k := &Kafka{
		opts:    opts,
		topics:  map[string][]int{},
		lanes:   map[event.Place]*lane{},
		senders: map[int32]*sender{},
		foreign: map[string]*kafka.Client{},

		searches: newSearches(),
	}
	k.life, k.stop = context.WithCancel(context.Background())
	k.signIn.current.Store(&opts.SASL)
	k.client, k.transport = k.newClient(opts.Topics)
	k.maxBatchBytes.Store(defaultMaxBatchBytes)
	return k
}

// newClient returns a client that knows the given topics only: the metadata of
// all topics of a large cluster would be a lot to ask for, every time.
func (k *Kafka) newClient(topics []string) (*kafka.Client, *kafka.Transport) {
	transport := &kafka.Transport{
		ClientID: k.opts.ClientID, TLS: k.opts.TLS, SASL: k.mechanism(),
		Dial:           abrupt(k.opts.Dial),
		DialTimeout:    dialTimeout,
		IdleTimeout:    idleTimeout,
		MetadataTTL:    watchEvery,
		MetadataTopics: topics,
		Context:        k.life, // a request that comes after Close leaves nothing running
	}
	return &kafka.Client{
		Addr: kafka.TCP(k.opts.Brokers...), Transport: transport,
		Timeout: k.opts.ProduceTimeout, // half of what is left of it is what a broker is given
	}, transport
}

// clientFor is the client that knows a topic. A claim that was made under other
// routes is still settled at its own place.
func (k *Kafka) clientFor(topic string) *kafka.Client {
	if slices.Contains(k.opts.Topics, topic) {
		return k.client
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	client := k.foreign[topic]
	if client == nil {
		client, _ = k.newClient([]string{topic})
		k.foreign[topic] = client
	}
	return client
}

// abrupt makes connections send nothing after they are closed. By default the
// system goes on to send what it holds, for minutes where the way to the broker
// is blocked: a record could arrive long after its deadline.
func abrupt(dial dialFunc) dialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		tcp, ok := conn.(*net.TCPConn)
		if err != nil || !ok {
			return conn, err
		}
		if err := tcp.SetLinger(0); err != nil {
			return nil, errors.Join(err, conn.Close())
		}
		return conn, nil
	}
}

// Start learns the partitions of the topics and where they end, and keeps
// looking from then on. The topics must be there: see EnsureTopics.
func (k *Kafka) Start(ctx context.Context) error {
	err := k.look(ctx)
	for errors.Is(err, errUnknownEnd) && pause(ctx, lastBackoff) { // another replica may have made the topics a moment ago
		k.refresh()
		err = k.look(ctx)
	}
	if err != nil {
		return err
	}
	k.stopped = make(chan struct{})
	go k.watch(k.life)
	return nil
}

// Close ends the watch and drops the connections, for good. Records that were
// handed over and have no outcome yet are the Dispatcher's to wait for, before.
func (k *Kafka) Close() {
	k.stop()
	if k.stopped != nil {
		<-k.stopped
	}
	k.dropConnections()
}

// Ready is nil when a broker answered within the last few looks.
func (k *Kafka) Ready() error {
	if silence := time.Since(time.Unix(0, k.contact.Load())); silence > 4*watchEvery {
		return errors.New("no broker answers")
	}
	return nil
}

func (k *Kafka) watch(ctx context.Context) {
	defer close(k.stopped)
	for failing := false; ; {
		select {
		case <-ctx.Done():
			return
		case <-time.After(watchEvery):
		}
		err := k.look(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil && !failing:
			k.opts.Log.Warn("Kafka does not answer", "error", err)
		case err == nil && failing:
			k.opts.Log.Info("Kafka answers again")
		}
		if failing = err != nil; failing {
			k.refresh()
		}
	}
}

// look asks for partitions and their ends.
func (k *Kafka) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, k.opts.ProduceTimeout)
	defer cancel()
	meta, err := k.client.Metadata(ctx, &kafka.MetadataRequest{Topics: k.opts.Topics})
	if err != nil {
		return fmt.Errorf("ask Kafka for its topics: %w", err)
	}
	found := make(map[string][]int, len(meta.Topics))
	for _, topic := range meta.Topics {
		if topic.Error != nil {
			return fmt.Errorf("topic %s: %w", topic.Name, topic.Error)
		}
		for _, p := range topic.Partitions {
			found[topic.Name] = append(found[topic.Name], p.ID)
			k.lane(event.Place{Topic: topic.Name, Partition: p.ID}).leader.Store(int32(p.Leader.ID)) // #nosec G115 -- came as int32
		}
	}
	ends, err := k.askEnds(ctx, meta.Topics)
	if err != nil {
		return fmt.Errorf("ask Kafka where its partitions end: %w", err)
	}
	k.contact.Store(time.Now().UnixNano())
	k.remember(found, ends)
	return k.unknownEnd(found)
}

var errUnknownEnd = errors.New("the end of a partition is not known yet")

// unknownEnd is an errUnknownEnd that names a partition whose end no look has told yet:
// a topic that was made a moment ago may have no leader to ask.
func (k *Kafka) unknownEnd(topics map[string][]int) error {
	for topic, partitions := range topics {
		for _, p := range partitions {
			if k.lane(event.Place{Topic: topic, Partition: p}).end() < 0 {
				return fmt.Errorf("%w: %s/%d", errUnknownEnd, topic, p)
			}
		}
	}
	return nil
}

// remember notes the ends first, so that no partition is chosen before its end
// is known.
func (k *Kafka) remember(found map[string][]int, ends map[event.Place]int64) {
	for at, end := range ends {
		k.lane(at).observe(end)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.topics = found
}

// balancer chooses partitions as the Java client does, so that a key's
// partition is where every other producer would put it.
var balancer = kafka.Murmur2Balancer{Consistent: true}

// Place implements Producer. It asks nobody: it knows what the last look and
// the acknowledgements since then have told. It is an error where the topic or
// the partition's end is not known.
func (k *Kafka) Place(ctx context.Context, topic, key string) (event.Place, int64, error) {
	k.mu.RLock()
	partitions := k.topics[topic]
	k.mu.RUnlock()
	if len(partitions) == 0 {
		return event.Place{}, 0, fmt.Errorf("topic %s has no partitions", topic)
	}
	at := event.Place{Topic: topic, Partition: balancer.Balance(kafka.Message{Key: []byte(key)}, partitions...)}
	end := k.lane(at).end()
	if end < 0 {
		return at, 0, fmt.Errorf("the end of %s/%d is not known yet", topic, at.Partition)
	}
	return at, end, nil
}

// Append implements Producer.
func (k *Kafka) Append(at event.Place, r Record, deadline time.Time, done func(int64, error)) {
	k.lane(at).append(newEntry(r, deadline, done))
}

// Failing implements Producer.
func (k *Kafka) Failing(at event.Place) bool { return k.lane(at).failing() }

func (k *Kafka) lane(at event.Place) *lane {
	k.mu.RLock()
	l := k.lanes[at]
	k.mu.RUnlock()
	if l != nil {
		return l
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if l = k.lanes[at]; l == nil {
		l = newLane(k, at)
		k.lanes[at] = l
	}
	return l
}

// senderTo is nil where the broker is not known.
func (k *Kafka) senderTo(broker int32) *sender {
	if broker == noLeader {
		return nil
	}
	k.mu.RLock()
	s := k.senders[broker]
	k.mu.RUnlock()
	if s != nil {
		return s
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if s = k.senders[broker]; s == nil {
		s = &sender{kafka: k}
		k.senders[broker] = s
	}
	return s
}

// refreshPause keeps many lanes that see the same change from dropping each
// other's new connections.
const refreshPause = 100 * time.Millisecond

// refresh makes the next request ask for metadata anew. kafka-go answers it
// from a cache; dropping the connections is its way to empty that.
func (k *Kafka) refresh() {
	now, last := time.Now().UnixNano(), k.reset.Load()
	if now-last < int64(refreshPause) || !k.reset.CompareAndSwap(last, now) {
		return
	}
	k.dropConnections()
}

func (k *Kafka) dropConnections() {
	k.transport.CloseIdleConnections()
	k.mu.RLock()
	defer k.mu.RUnlock()
	for _, client := range k.foreign {
		client.Transport.(*kafka.Transport).CloseIdleConnections()
	}
}
