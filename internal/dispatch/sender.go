package dispatch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/produce"
	"github.com/segmentio/kafka-go/protocol/rawproduce"

	"awareid-gateway/internal/event"
)

// sender writes to the partitions that one broker leads. A produce request costs
// about the same for one of them as for many, so what comes while one is under way
// goes together in the next. Nothing waits for company.
type sender struct {
	kafka *Kafka

	mu     sync.Mutex
	queue  []*shipment
	flying bool // a request is under way that others wait for
}

const (
	// flyingFor is the longest that a request is waited for: a partition whose
	// replicas are slow, or a broker far away, must not hold up the others.
	flyingFor = 5 * time.Millisecond
	// maxFreight bounds the bytes of a request. A broker takes 100 MiB by default
	// (socket.request.max.bytes).
	maxFreight = 8 << 20
)

// shipment is a batch on its way to its partition.
type shipment struct {
	place    event.Place
	encoded  []byte
	deadline time.Time
	answer   chan answer // has room for it
}

// answer is what the broker said of a batch, or what prevented it.
type answer struct {
	base int64 // offset of the first record
	err  error
}

// send returns at once; the shipment gets its answer soon after its deadline at
// the latest.
func (s *sender) send(x *shipment) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queue = append(s.queue, x)
	s.launch()
}

// launch starts a request where there is something to send and nothing to wait
// for. The lock is held.
func (s *sender) launch() {
	if !s.flying && len(s.queue) > 0 {
		s.flying = true
		go s.fly(s.load())
	}
}

// load takes off the queue what goes together. The lock is held.
func (s *sender) load() []*shipment {
	n, room := 1, maxFreight-len(s.queue[0].encoded)
	for n < len(s.queue) && len(s.queue[n].encoded) <= room {
		room -= len(s.queue[n].encoded)
		n++
	}
	load := s.queue[:n:n]
	if s.queue = s.queue[n:]; len(s.queue) == 0 {
		s.queue = nil
	}
	return load
}

func (s *sender) fly(load []*shipment) {
	landed := sync.OnceFunc(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.flying = false
		s.launch()
	})
	late := time.AfterFunc(flyingFor, landed)
	defer late.Stop()
	s.kafka.carry(load)
	landed()
}

// carry makes one request of shipments to partitions with one leader, and answers
// each. It ends with the first of their deadlines.
func (k *Kafka) carry(load []*shipment) {
	deadline := load[0].deadline
	for _, x := range load[1:] {
		if x.deadline.Before(deadline) {
			deadline = x.deadline
		}
	}
	ctx, cancel := context.WithDeadline(context.Background(), deadline)
	defer cancel()
	client := k.clientFor(load[0].place.Topic)
	response, err := client.Transport.RoundTrip(ctx, client.Addr, newProduceRequest(load, deadline))
	if err != nil {
		for _, x := range load {
			x.answer <- answer{err: fmt.Errorf("produce: %w", err)}
		}
		return
	}
	k.contact.Store(time.Now().UnixNano())
	distribute(load, response.(*produce.Response))
}

// newProduceRequest gives the broker half of the time that is left: the rest is
// for its answer to arrive.
func newProduceRequest(load []*shipment, deadline time.Time) *rawproduce.Request {
	r := &rawproduce.Request{
		Acks:    int16(kafka.RequireAll),
		Timeout: int32(max(0, time.Until(deadline)/2) / time.Millisecond), // #nosec G115 -- seconds
	}
	for _, x := range load {
		t := topicOf(r, x.place.Topic)
		t.Partitions = append(t.Partitions, rawproduce.RequestPartition{
			Partition: int32(x.place.Partition), // #nosec G115 -- came as int32
			RecordSet: protocol.RawRecordSet{Reader: bytes.NewReader(x.encoded)},
		})
	}
	return r
}

func topicOf(r *rawproduce.Request, name string) *rawproduce.RequestTopic {
	for i := range r.Topics {
		if r.Topics[i].Topic == name {
			return &r.Topics[i]
		}
	}
	r.Topics = append(r.Topics, rawproduce.RequestTopic{Topic: name})
	return &r.Topics[len(r.Topics)-1]
}

// errUnanswered: the broker may or may not have the batch.
var errUnanswered = errors.New("the broker's answer leaves out the partition")

// distribute hands the parts of a response to the shipments that they answer.
func distribute(load []*shipment, response *produce.Response) {
	answers := map[event.Place]*produce.ResponsePartition{}
	for i := range response.Topics {
		t := &response.Topics[i]
		for j := range t.Partitions {
			answers[event.Place{Topic: t.Topic, Partition: int(t.Partitions[j].Partition)}] = &t.Partitions[j]
		}
	}
	for _, x := range load {
		switch p := answers[x.place]; {
		case p == nil:
			x.answer <- answer{err: errUnanswered}
		case p.ErrorCode != 0:
			x.answer <- answer{err: fmt.Errorf("produce: %w: %s", kafka.Error(p.ErrorCode), p.ErrorMessage)}
		default:
			x.answer <- answer{base: p.BaseOffset}
		}
	}
}
