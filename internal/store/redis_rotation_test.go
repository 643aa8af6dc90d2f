package store_test

import (
	"crypto/rand"
	"os"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/store"
)

func TestRotation(t *testing.T) {
	server := miniredis.RunT(t)
	requireRotation(t, openRedis(t, "redis://"+server.Addr(), "test"), server.FastForward)
}

func TestRotationOnRealRedis(t *testing.T) {
	url := os.Getenv("TEST_REDIS_URL")
	if url == "" {
		t.Skip("TEST_REDIS_URL names no Redis")
	}
	namespace, client := "test-"+rand.Text(), realClient(t)
	t.Cleanup(func() { removeKeys(t, client, namespace) })
	requireRotation(t, openRedis(t, url, namespace), func(d time.Duration) {
		for _, key := range keysOf(t, client, namespace) {
			left := client.PTTL(t.Context(), key).Val()
			require.Positive(t, left, "every key has its time")
			require.NoError(t, client.PExpire(t.Context(), key, left-d).Err())
		}
	})
}

func requireRotation(t *testing.T, redis *store.Redis, pass func(time.Duration)) {
	ctx := t.Context()
	state := func() []store.RotationState {
		t.Helper()
		states, err := redis.Rotations(ctx, []string{"w", "other"})
		require.NoError(t, err)
		require.Zero(t, states[1], "webhooks do not meet")
		return states[:1]
	}
	mark := func(who string) bool {
		t.Helper()
		ok, err := redis.MarkRotation(ctx, "w", who, 10*time.Second)
		require.NoError(t, err)
		return ok
	}
	require.Equal(t, []store.RotationState{{}}, state())
	require.True(t, mark("a"))
	require.False(t, mark("b"), "one rotation at a time")
	require.NoError(t, redis.TellRotation(ctx, "w", []byte("\x00sealed"), time.Hour))
	require.Equal(t, []store.RotationState{{Marked: true, Told: []byte("\x00sealed")}}, state())

	pass(9 * time.Second)
	require.True(t, mark("a"), "kept up")
	pass(9 * time.Second)
	require.NoError(t, redis.UnmarkRotation(ctx, "w", "b"))
	require.True(t, state()[0].Marked, "not b's to take away")
	require.NoError(t, redis.UnmarkRotation(ctx, "w", "a"))
	require.Equal(t, []store.RotationState{{Told: []byte("\x00sealed")}}, state())

	require.True(t, mark("b"))
	pass(11 * time.Second)
	require.False(t, state()[0].Marked, "it ends by itself")
	require.True(t, mark("a"))

	pass(time.Hour)
	require.Equal(t, []store.RotationState{{}}, state())
}

func TestRotationsOfAnAbsentRedis(t *testing.T) {
	server := miniredis.RunT(t)
	redis := openRedis(t, "redis://"+server.Addr()+"?max_retries=-1", "test")
	server.Close()
	_, err := redis.Rotations(t.Context(), []string{"w"})
	require.ErrorContains(t, err, "read rotations in Redis")
	_, err = redis.MarkRotation(t.Context(), "w", "a", time.Second)
	require.Error(t, err)
	require.Error(t, redis.UnmarkRotation(t.Context(), "w", "a"))
	require.Error(t, redis.TellRotation(t.Context(), "w", nil, time.Second))
}
