package dispatch_test

import (
	"context"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"awareid-gateway/internal/dispatch"
)

// newFormerLeader returns a cluster of three in which a broker that has lost its
// office does not know it: its metadata, its log's end and its log are of before.
// It refuses who knows better. The event 3 is with its successor.
func newFormerLeader(t *testing.T) (*kfake.Cluster, int32) {
	cluster := newBroker(t, kfake.NumBrokers(3))
	k := newKafka(t, cluster, produceTimeout)
	fill(t, k, 0, 3, 10)
	former := cluster.LeaderFor(topic, 0)
	require.NoError(t, cluster.MoveTopicPartition(topic, 0, (former+1)%3))
	fill(t, k, 3, 1, 10)
	k.Close()

	const epoch, end = 0, 3
	answer := func(key kmsg.Key, f func(kmsg.Request) kmsg.Response) {
		cluster.ControlKey(int16(key), func(req kmsg.Request) (kmsg.Response, error, bool) {
			cluster.KeepControl()
			if cluster.CurrentNode() != former {
				return nil, nil, false
			}
			return f(req), nil, true
		})
	}
	answer(kmsg.Metadata, func(req kmsg.Request) kmsg.Response {
		return metadataAnswer(req, cluster, former, epoch)
	})
	answer(kmsg.ListOffsets, func(req kmsg.Request) kmsg.Response {
		r := req.(*kmsg.ListOffsetsRequest)
		offsets := offsetAnswer(r, end)
		if r.Topics[0].Partitions[0].CurrentLeaderEpoch > epoch {
			offsets.Topics[0].Partitions[0].ErrorCode = kerr.UnknownLeaderEpoch.Code
		}
		return offsets
	})
	answer(kmsg.Fetch, func(req kmsg.Request) kmsg.Response {
		if req.(*kmsg.FetchRequest).Topics[0].Partitions[0].CurrentLeaderEpoch > epoch {
			return refusal(req, kerr.UnknownLeaderEpoch)
		}
		var records []byte
		for i := range end {
			records = append(records, batchAt(int64(i), dispatch.Record{Headers: identity(i)})...)
		}
		return fetchAnswer(req, records, end)
	})
	return cluster, former
}

// metadataAnswer is of a time when that broker led the partition.
func metadataAnswer(req kmsg.Request, cluster *kfake.Cluster, leader, epoch int32) kmsg.Response {
	answer := req.ResponseKind().(*kmsg.MetadataResponse)
	for i, addr := range cluster.ListenAddrs() {
		host, port, _ := net.SplitHostPort(addr)
		b := kmsg.NewMetadataResponseBroker()
		b.NodeID, b.Host = int32(i), host
		n, _ := strconv.Atoi(port)
		b.Port = int32(n)
		answer.Brokers = append(answer.Brokers, b)
	}
	p := kmsg.NewMetadataResponseTopicPartition()
	p.Leader, p.LeaderEpoch, p.Replicas, p.ISR = leader, epoch, []int32{0, 1, 2}, []int32{0, 1, 2}
	topicAnswer := kmsg.NewMetadataResponseTopic()
	topicAnswer.Topic = kmsg.StringPtr(topic)
	topicAnswer.Partitions = append(topicAnswer.Partitions, p)
	answer.Topics = append(answer.Topics, topicAnswer)
	return answer
}

// patience is the produce time-out of a newcomer: it waits a third of it for who
// leads.
const patience = 3 * time.Second

// newcomer is a process that has never heard of another leader.
func newcomer(t *testing.T, brokers []string, change ...func(*dispatch.KafkaOptions)) *dispatch.Kafka {
	opts := dispatch.KafkaOptions{
		Brokers: brokers, Topics: []string{topic},
		ProduceTimeout: patience, Log: slog.New(slog.DiscardHandler),
	}
	for _, f := range change {
		f(&opts)
	}
	k := dispatch.NewKafka(opts)
	t.Cleanup(k.Close)
	require.NoError(t, k.Start(t.Context()))
	return k
}

func find(t *testing.T, k *dispatch.Kafka, timeout time.Duration, id int) (int64, bool, error) {
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	return k.Find(ctx, place, 0, identity(id))
}

// TestAFormerLeaderIsNotAsked, although it says that it is the leader and this
// process does not know otherwise.
func TestAFormerLeaderIsNotAsked(t *testing.T) {
	t.Run("it is found out in time", func(t *testing.T) {
		cluster, _ := newFormerLeader(t)
		offset, found, err := find(t, newcomer(t, cluster.ListenAddrs()), 20*time.Second, 3)
		require.NoError(t, err)
		require.True(t, found)
		require.EqualValues(t, 3, offset)
	})
	t.Run("the way is by it alone", func(t *testing.T) {
		cluster, former := newFormerLeader(t)
		_, _, err := find(t, newcomer(t, cluster.ListenAddrs()[former:former+1]), time.Second, 3)
		require.Error(t, err, "rather than that it is not there")
	})
}

// TestAMajorityMustSayWhoLeads has brokers that do not tell.
func TestAMajorityMustSayWhoLeads(t *testing.T) {
	for name, tc := range map[string]struct {
		brokers int
		silent  []int32 // know nothing of the partition
		hanging []int32
		cause   string // "": the event is found
	}{
		"the only one":                     {brokers: 1},
		"both":                             {brokers: 2},
		"one of two":                       {brokers: 2, silent: []int32{1}, cause: "only 1 of 2 brokers"},
		"two of three":                     {brokers: 3, silent: []int32{1}},
		"one of three":                     {brokers: 3, silent: []int32{1, 2}, cause: "only 1 of 3 brokers"},
		"two of three, the last one hangs": {brokers: 3, hanging: []int32{2}},
		"one of three, the others hang":    {brokers: 3, hanging: []int32{1, 2}, cause: "only 1 of 3 brokers"},
		"two of four":                      {brokers: 4, silent: []int32{1, 2}, cause: "only 2 of 4 brokers"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cluster := newBroker(t, kfake.NumBrokers(tc.brokers))
			fill(t, newKafka(t, cluster, produceTimeout), 0, 1, 10)
			require.NoError(t, cluster.MoveTopicPartition(topic, 0, 0))
			k := newcomer(t, cluster.ListenAddrs()[:1], func(o *dispatch.KafkaOptions) {
				o.Dial = silence(t, cluster, tc.hanging)
			})
			if tc.silent != nil {
				cluster.Fault(kfake.Fault{
					Keys: []kmsg.Key{kmsg.Metadata}, Nodes: tc.silent, Topic: topic, Count: -1, Err: kerr.UnknownTopicOrPartition,
				})
			}
			began := time.Now()
			offset, found, err := find(t, k, patience*2/3, 0)
			if tc.cause != "" {
				require.ErrorContains(t, err, tc.cause)
				return
			}
			require.NoError(t, err)
			require.True(t, found)
			require.Zero(t, offset)
			require.Less(t, time.Since(began), patience/3)
		})
	}
}

// silence dials a peer that never says anything in place of some brokers, like
// one that is suspended.
func silence(t *testing.T, cluster *kfake.Cluster, nodes []int32) func(context.Context, string, string) (net.Conn, error) {
	peer, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { peer.Close() }) // and with it the connections that were not accepted
	var silent []string
	for _, n := range nodes {
		silent = append(silent, cluster.ListenAddrs()[n])
	}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		if slices.Contains(silent, address) {
			address = peer.Addr().String()
		}
		return new(net.Dialer).DialContext(ctx, network, address)
	}
}
