package server_test

import (
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestReplicasStoreAnEventOnce: 64 posts of one event at once, at two gateways
// that share nothing but Redis and Kafka.
func TestReplicasStoreAnEventOnce(t *testing.T) {
	b := newBackend(t)
	replicas := []*gateway{b.serve(t), b.serve(t)}
	for range 3 {
		id, event := newEvent()
		const posts = 64
		conns := make([]*conn, posts)
		raws := make([]string, posts)
		for i := range conns {
			conns[i] = replicas[i%2].dial(t)
			raws[i] = replicas[i%2].signed(t, event) // each with an iv of its own
		}
		answers := make(chan string, posts)
		var all sync.WaitGroup
		start := make(chan struct{})
		for i, c := range conns {
			all.Go(func() {
				<-start
				c.send(raws[i])
				answers <- c.outcome(id)
			})
		}
		close(start)
		all.Wait()
		close(answers)

		counts := map[string]int{}
		for a := range answers {
			counts[a]++
		}
		require.Equal(t, map[string]int{"accepted": 1, "duplicate": posts - 1}, counts)
		require.Len(t, having(b.records(t), "awareid.enrollment", "ce_id", id), 1)
	}
	require.EqualValues(t, 3, b.stored(t))
	for _, g := range replicas {
		g.eventually(t, "gateway_body_bytes", 0)
	}
}
