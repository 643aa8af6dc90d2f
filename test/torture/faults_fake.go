package main

import (
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// faults are answers that a real broker can give, and such as keep what was
// acknowledged. NOT_ENOUGH_REPLICAS_AFTER_APPEND and REQUEST_TIMED_OUT are given
// after the work, the other errors in place of it.
func (k *fakeKafka) faults() []fault {
	faults := []fault{
		k.refusal(kerr.NotLeaderForPartition, kmsg.Produce),
		k.refusal(kerr.NotLeaderForPartition, kmsg.Fetch, kmsg.ListOffsets),
		k.refusal(kerr.NotEnoughReplicas, kmsg.Produce),
		k.refusal(kerr.CoordinatorLoadInProgress, kmsg.InitProducerID),
		k.refusal(kerr.NotEnoughReplicasAfterAppend, kmsg.Produce),
		k.refusal(kerr.RequestTimedOut, kmsg.Produce),
		k.refusal(kerr.OutOfOrderSequenceNumber, kmsg.Produce),
		k.refusal(kerr.UnknownProducerID, kmsg.Produce),
	}
	return append(faults,
		fault{"swallow answers", k.manners(swallowed)},
		fault{"delay answers", k.manners(late)},
		fault{"close connections in place of answers", k.manners(hungUp)},
		fault{"move leaders", k.moveLeaders},
	)
}

// refusal answers some requests, or all for a time, with an error.
func (k *fakeKafka) refusal(err *kerr.Error, keys ...kmsg.Key) fault {
	var requests []string
	for _, key := range keys {
		requests = append(requests, key.Name())
	}
	what := strings.Join(requests, " and ")
	return fault{fmt.Sprintf("%s to %s", err.Message, what), func(d draw) harm {
		f := kfake.Fault{Keys: keys, Err: err, Nodes: d.nodes(), Count: -1, TopLevel: keys[0] == kmsg.InitProducerID}
		if d.IntN(2) == 0 {
			f.Count = 1 + d.IntN(20)
		}
		length, target := d.length(), what+" of all brokers"
		if f.Nodes != nil {
			target = fmt.Sprintf("%s of broker %d", what, f.Nodes[0])
		}
		return harm{targets: []string{target}, do: func() error {
			handle := k.cluster.Fault(f)
			time.Sleep(length)
			handle.Remove()
			return nil
		}}
	}}
}

// nodes are one broker or, as nil, all.
func (d draw) nodes() []int32 {
	if d.IntN(2) == 0 {
		return nil
	}
	return []int32{int32(d.IntN(brokerCount))}
}

// manners has the answers of some brokers treated so.
func (k *fakeKafka) manners(treat func(d draw) manner) drawing {
	return func(d draw) harm {
		h, length, m := harm{}, d.length(), treat(d)
		nodes := d.nodes()
		if nodes == nil {
			nodes = []int32{0, 1, 2}
		}
		for _, n := range nodes {
			h.targets = append(h.targets, fmt.Sprintf("answers of broker %d", n))
		}
		h.do = func() error {
			for _, n := range nodes {
				k.doors[n].behave(m)
			}
			time.Sleep(length)
			for _, n := range nodes {
				k.doors[n].behave(nil)
				k.doors[n].turnOut()
			}
			return nil
		}
		return h
	}
}

func swallowed(draw) manner {
	return func(g *guest, answer []byte) (int, error) {
		g.lose()
		return len(answer), nil
	}
}

func (g *guest) lose() {
	g.door.mu.Lock()
	defer g.door.mu.Unlock()
	g.lost = true
}

func late(d draw) manner {
	delay := d.length()
	return func(g *guest, answer []byte) (int, error) {
		time.Sleep(delay)
		return g.Conn.Write(answer)
	}
}

func hungUp(draw) manner {
	return func(g *guest, _ []byte) (int, error) {
		g.Close()
		return 0, net.ErrClosed
	}
}

// moveLeaders has other brokers lead some partitions, several times over.
func (k *fakeKafka) moveLeaders(d draw) harm {
	moves, length := 1+d.IntN(10), d.length()
	return harm{targets: []string{"leaders"}, do: func() error {
		for range moves {
			topic := topicNames[d.IntN(len(topicNames))]
			for _, p := range k.cluster.PartitionInfos(topic) {
				if err := k.cluster.MoveTopicPartition(topic, p.Partition, int32(d.IntN(brokerCount))); err != nil {
					return err
				}
			}
			time.Sleep(length / time.Duration(moves))
		}
		return nil
	}}
}
