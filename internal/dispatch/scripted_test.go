package dispatch_test

import (
	"context"
	"encoding/binary"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"awareid-gateway/internal/dispatch"
)

// log is a partition that answers as a test says, so that another leader can
// have another log.
type log struct {
	cluster *kfake.Cluster

	mu            sync.Mutex
	ids           []int // of the events in it, each in a batch of its own
	highWatermark int64
	end           int64
	began         int64              // what retention has left begins there
	forgetful     bool               // it knows of no times
	during        func(offset int64) // at each fetch
	read          []int64            // where each fetch began
	epoch, former int32              // the leader's, as it was asked last; one that is over
}

func newLog(t *testing.T, ids ...int) (*log, *dispatch.Kafka) {
	l := &log{cluster: newBroker(t), ids: ids, highWatermark: int64(len(ids)), end: int64(len(ids)), during: func(int64) {}, former: -2}
	k := newKafka(t, l.cluster, produceTimeout)
	l.cluster.ControlKey(int16(kmsg.Fetch), func(req kmsg.Request) (kmsg.Response, error, bool) {
		l.cluster.KeepControl()
		return l.fetch(req.(*kmsg.FetchRequest)), nil, true
	})
	l.cluster.ControlKey(int16(kmsg.ListOffsets), func(req kmsg.Request) (kmsg.Response, error, bool) {
		l.cluster.KeepControl()
		l.mu.Lock()
		defer l.mu.Unlock()
		r := req.(*kmsg.ListOffsetsRequest)
		switch {
		case r.ReplicaID == -2:
			return offsetAnswer(r, l.end), nil, true
		case r.Topics[0].Partitions[0].Timestamp == -1:
			return offsetAnswer(r, l.highWatermark), nil, true
		case r.Topics[0].Partitions[0].Timestamp >= 0 && l.forgetful:
			return offsetAnswer(r, -1), nil, true
		}
		return offsetAnswer(r, l.began), nil, true // all are as young as is asked for
	})
	return l, k
}

func (l *log) fetch(req *kmsg.FetchRequest) kmsg.Response {
	p := req.Topics[0].Partitions[0]
	l.mu.Lock()
	l.read = append(l.read, p.FetchOffset)
	l.epoch = p.CurrentLeaderEpoch
	during := l.during
	l.mu.Unlock()
	during(p.FetchOffset)

	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case p.CurrentLeaderEpoch == l.former:
		return refusal(req, kerr.FencedLeaderEpoch)
	case p.FetchOffset < l.began || p.FetchOffset > l.end:
		return refusal(req, kerr.OffsetOutOfRange)
	case p.FetchOffset >= int64(len(l.ids)):
		return fetchAnswer(req, nil, l.highWatermark)
	}
	r := dispatch.Record{Headers: identity(l.ids[p.FetchOffset])}
	return fetchAnswer(req, batchAt(p.FetchOffset, r), l.highWatermark)
}

func refusal(req kmsg.Request, cause *kerr.Error) kmsg.Response {
	answer := fetchAnswer(req, nil, -1).(*kmsg.FetchResponse)
	answer.Topics[0].Partitions[0].ErrorCode = cause.Code
	return answer
}

// change makes the log another one.
func (l *log) change(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f()
}

// electAnother changes the log together with its leader's epoch.
func (l *log) electAnother(t *testing.T, f func()) {
	t.Helper()
	require.NoError(t, l.cluster.MoveTopicPartition(topic, 0, l.cluster.LeaderFor(topic, 0)))
	l.change(func() {
		l.former = l.epoch
		f()
	})
}

// takeRead returns where the fetches began since it was asked last.
func (l *log) takeRead() []int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	read := l.read
	l.read = nil
	return read
}

// findUntil looks for an event until a fetch from an offset on is under way.
func (l *log) findUntil(t *testing.T, k *dispatch.Kafka, from int64, id int, offset int64) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	defer close(ended)
	l.change(func() {
		l.during = func(at int64) {
			if at == offset {
				cancel()
				<-ended
			}
		}
	})
	_, found, err := k.Find(ctx, place, from, identity(id))
	require.ErrorIs(t, err, context.Canceled)
	require.False(t, found)
	l.change(func() { l.during = func(int64) {} })
}

// batchAt is a batch as it lies at an offset.
func batchAt(offset int64, records ...dispatch.Record) []byte {
	batch := dispatch.EncodeBatch(records, dispatch.Session{}, time.Now())[4:]
	binary.BigEndian.PutUint64(batch, uint64(offset))
	return batch
}
