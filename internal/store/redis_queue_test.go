package store_test

import (
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/event"
	"awareid-gateway/internal/store"
)

func TestQueues(t *testing.T) {
	server := miniredis.RunT(t)
	redis, err := store.OpenRedis("redis://"+server.Addr(), "test")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, redis.Close()) })
	ctx, now := t.Context(), time.Now()
	ticket := func(id string, after time.Duration) event.Ticket {
		return event.Ticket{Queue: "w/op", ID: id, At: now.Add(after)}
	}
	early, late, elsewhere := ticket("a", 0), ticket("b", time.Millisecond), event.Ticket{Queue: "w/other", ID: "c", At: now}
	queued := func(token string) bool {
		c := attempt(token)
		c.Key, c.Queue = "w/"+token, "w/op"
		got, verdict, err := redis.Claim(ctx, c, terms)
		require.NoError(t, err)
		require.Equal(t, event.Granted, verdict)
		return got.Queued
	}

	enqueue := func(tickets ...event.Ticket) (first []string) {
		standings, err := redis.Enqueue(ctx, tickets, keep)
		require.NoError(t, err)
		for _, s := range standings {
			first = append(first, s.First)
		}
		return first
	}

	require.False(t, queued("1"), "an empty queue holds nobody up")
	require.Equal(t, []string{"b", "c"}, enqueue(late, elsewhere))
	require.True(t, queued("2"))
	require.Equal(t, []string{"a"}, enqueue(early))
	for range 2 { // enqueued twice, it keeps its place
		require.Equal(t, []string{"a", "a", "c"}, enqueue(ticket("a", time.Hour), late, elsewhere))
	}

	require.NoError(t, redis.Dequeue(ctx, []event.Ticket{early, elsewhere}))
	require.Equal(t, []string{"b"}, enqueue(late))
	require.NoError(t, redis.Dequeue(ctx, []event.Ticket{late}))
	require.False(t, queued("3"))

	_, err = redis.Enqueue(ctx, []event.Ticket{early}, time.Minute)
	require.NoError(t, err)
	server.FastForward(time.Minute)
	require.False(t, queued("4"), "nobody came back to keep the queue")

	standing := func(id string, at time.Time, within time.Duration) event.Standing {
		t.Helper()
		standings, err := redis.Enqueue(ctx, []event.Ticket{{Queue: "w/other", ID: id, At: at, Within: within}}, keep)
		require.NoError(t, err)
		return standings[0]
	}
	server.SetTime(now.Add(time.Second))
	require.Equal(t, now.UnixMicro(), standing("own", now, 0).At.UnixMicro())
	require.Equal(t, now.UnixMicro(), standing("late", now, time.Second-time.Microsecond).At.UnixMicro())
	require.Equal(t, now.Add(time.Second).UnixMicro(), standing("the store's", now, time.Second).At.UnixMicro())
	require.Equal(t, now.Add(time.Second).UnixMicro(), standing("ahead", now.Add(time.Minute), time.Second).At.UnixMicro())
	require.Equal(t, now.Add(time.Second).UnixMicro(), standing("still to come", now.Add(time.Minute), 0).At.UnixMicro())
	server.SetTime(now.Add(time.Hour))
	again := standing("the store's", now, 2*time.Hour)
	require.Equal(t, now.Add(time.Second).UnixMicro(), again.At.UnixMicro(), "it keeps its place")
	require.Equal(t, "late", again.First)
}
