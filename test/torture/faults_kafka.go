package main

import (
	"context"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
)

func (k *realKafka) faults() []fault {
	faults := []fault{
		{"suspend broker", k.some(1, pause)},
		{"suspend two brokers", k.some(2, pause)},
		{"kill broker", k.some(1, kill)},
		{"kill two brokers", k.some(2, kill)},
		{"move leaders", k.moveLeaders},
	}
	return append(faults, networkFaults("Kafka", k.someLinks)...)
}

func pause(d draw, brokers []*process) func() error { return suspend(d.length(), brokers...) }

// kill leaves them away for less long: a start takes seconds by itself.
func kill(d draw, brokers []*process) func() error {
	return restart(syscall.SIGKILL, d.length()/2, brokers...)
}

func (k *realKafka) some(n int, do func(draw, []*process) func() error) drawing {
	return func(d draw) harm {
		var some []*process
		for _, i := range d.Perm(brokerCount)[:n] {
			some = append(some, k.brokers[i].process)
		}
		return harm{targets: names(some), do: do(d, some)}
	}
}

// someLinks are those of one gateway or all, to one broker or all.
func (k *realKafka) someLinks(d draw) (links []*link) {
	gateways, brokers := d.gateways(), k.brokers
	if d.IntN(2) == 0 {
		i := d.IntN(brokerCount)
		brokers = brokers[i : i+1]
	}
	for _, b := range brokers {
		for _, g := range gateways {
			links = append(links, b.ways[g])
		}
	}
	return links
}

// moveLeaders makes other brokers the preferred leaders of all partitions, and
// then the leaders. What fails for want of brokers need not be done.
func (k *realKafka) moveLeaders(d draw) harm {
	shift := 1 + d.IntN(brokerCount-1)
	return harm{targets: []string{"leaders"}, do: func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		defer cancel()
		k.ask(func(admin *kadm.Client) error {
			topics, err := admin.ListTopics(ctx, topicNames...)
			if err != nil {
				return err
			}
			var order kadm.AlterPartitionAssignmentsReq
			var all kadm.TopicsSet
			for _, topic := range topics {
				for _, p := range topic.Partitions {
					order.Assign(p.Topic, p.Partition, rotate(p.Replicas, shift))
					all.Add(p.Topic, p.Partition)
				}
			}
			if _, err := admin.AlterPartitionAssignments(ctx, order); err != nil {
				return err
			}
			_, err = admin.ElectLeaders(ctx, kadm.ElectPreferredReplica, all)
			return err
		})
		return nil
	}}
}

func rotate(replicas []int32, by int) []int32 {
	by %= len(replicas)
	return append(append([]int32{}, replicas[by:]...), replicas[:by]...)
}
