package store_test

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/alicebob/miniredis/v2/server"
	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/event"
	"awareid-gateway/internal/store"
)

// identified makes a server tell who it is, as a real one does.
func identified(m *miniredis.Miniredis) (info *atomic.Value) {
	info = new(atomic.Value)
	info.Store("redis_mode:standalone\r\nrun_id:first\r\nrole:master\r\n")
	tell(m, info)
	return info
}

func tell(m *miniredis.Miniredis, info *atomic.Value) {
	m.Server().SetPreHook(func(c *server.Peer, cmd string, _ ...string) bool {
		if cmd == "INFO" {
			c.WriteBulk(info.Load().(string))
		}
		return cmd == "INFO"
	})
}

// claimedIn claims an event and returns the memory that it was made in.
func claimedIn(t *testing.T, r *store.Redis, id string) string {
	t.Helper()
	c := attempt(id)
	c.Key = "webhook/" + id
	got, _, err := r.Claim(t.Context(), c, terms)
	require.NoError(t, err)
	require.NotEmpty(t, got.Memory)
	return got.Memory
}

func memory(t *testing.T, r *store.Redis) event.Memory {
	t.Helper()
	m, err := r.Memory(t.Context())
	require.NoError(t, err)
	return m
}

func TestMemoryLasts(t *testing.T) {
	clock := newClock()
	m := startMiniredis(t, clock)
	identified(m)
	a, b := openRedis(t, "redis://"+m.Addr(), "awareid"), openRedis(t, "redis://"+m.Addr(), "awareid")

	first := claimedIn(t, a, "1")
	require.Equal(t, first, claimedIn(t, b, "2"), "all replicas share it")
	clock.pass(time.Minute)
	require.Equal(t, event.Memory{ID: first, Age: time.Minute}, memory(t, b))

	ok, err := a.Restored(t.Context(), first, time.Hour)
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, event.Memory{ID: first, Age: time.Minute, Reach: time.Hour}, memory(t, b))
	require.Equal(t, first, claimedIn(t, b, "3"))
}

func TestMemoryIsLost(t *testing.T) {
	tests := map[string]func(*testing.T, *miniredis.Miniredis, *atomic.Value){
		"flushed": func(_ *testing.T, m *miniredis.Miniredis, _ *atomic.Value) { m.FlushAll() },
		"restarted empty": func(t *testing.T, m *miniredis.Miniredis, info *atomic.Value) {
			m.FlushAll()
			restart(t, m, info)
		},
		"restarted, or failed over, with what it had on disk": restart,
	}
	for name, lose := range tests {
		t.Run(name, func(t *testing.T) {
			clock := newClock()
			m := startMiniredis(t, clock)
			info := identified(m)
			a, b := openRedis(t, "redis://"+m.Addr(), "awareid"), openRedis(t, "redis://"+m.Addr(), "awareid")
			first := claimedIn(t, a, "1")
			require.Equal(t, first, claimedIn(t, b, "2"))
			_, err := a.Restored(t.Context(), first, time.Hour)
			require.NoError(t, err)
			clock.pass(time.Minute)

			lose(t, m, info)
			second := claimedIn(t, b, "3")
			require.NotEqual(t, first, second, "the very first claim shows it")
			require.Equal(t, second, claimedIn(t, a, "4"), "once, not once for each replica")
			require.Equal(t, event.Memory{ID: second}, memory(t, a))
			ok, err := a.Restored(t.Context(), first, time.Hour)
			require.NoError(t, err)
			require.False(t, ok, "what was restored belongs to the memory that is lost")
			require.Zero(t, memory(t, b).Reach)
		})
	}
}

// restart ends the server and starts another process, on the same data.
func restart(t *testing.T, m *miniredis.Miniredis, info *atomic.Value) {
	m.Close()
	info.Store(strings.Replace(info.Load().(string), "first", "second", 1))
	require.NoError(t, m.Restart())
	tell(m, info)
}

// TestReplicasAreNoMasters keeps connections from a server that could become
// the master with the connection standing.
func TestReplicasAreNoMasters(t *testing.T) {
	m := startMiniredis(t, newClock())
	info := identified(m)
	info.Store("redis_mode:standalone\r\nrun_id:first\r\nrole:slave\r\n")
	r := openRedis(t, "redis://"+m.Addr(), "awareid")
	require.ErrorContains(t, r.Ping(t.Context()), "the server is a replica")
	info.Store("redis_mode:standalone\r\nrun_id:first\r\nrole:master\r\n")
	require.NoError(t, r.Ping(t.Context()))
}

// Deployments that share a server have topics of their own to restore from.
func TestDeploymentsApart(t *testing.T) {
	m := startMiniredis(t, newClock())
	a, b := openRedis(t, "redis://"+m.Addr(), "awareid"), openRedis(t, "redis://"+m.Addr(), "awareid")
	a.For("a")
	b.For("b")
	require.NotEqual(t, memory(t, a).ID, memory(t, b).ID)
	ok, err := a.Lead(t.Context(), "x", "a", time.Hour)
	require.NoError(t, err)
	require.True(t, ok)
	ok, err = b.Lead(t.Context(), "x", "b", time.Hour)
	require.NoError(t, err)
	require.True(t, ok)
	_, err = a.Attend(t.Context(), "a", time.Now().AddDate(1, 0, 0))
	require.NoError(t, err)
	others, err := b.Attend(t.Context(), "b", time.Time{})
	require.NoError(t, err)
	require.Empty(t, others.Present)
}

func TestLead(t *testing.T) {
	clock := newClock()
	m := startMiniredis(t, clock)
	r := openRedis(t, "redis://"+m.Addr(), "awareid")
	lead := func(task, who string, lease time.Duration) bool {
		t.Helper()
		ok, err := r.Lead(t.Context(), task, who, lease)
		require.NoError(t, err)
		return ok
	}
	require.True(t, lead("x", "a", time.Second))
	require.False(t, lead("x", "b", time.Second))
	require.True(t, lead("y", "b", time.Second))
	clock.pass(900 * time.Millisecond)
	require.True(t, lead("x", "a", time.Second))
	clock.pass(900 * time.Millisecond)
	require.False(t, lead("x", "b", time.Second))
	clock.pass(100 * time.Millisecond)
	require.True(t, lead("x", "b", time.Second))
	require.False(t, lead("x", "a", time.Second))
	require.True(t, lead("x", "b", 0))
	require.True(t, lead("x", "a", time.Second))
}

func TestRoster(t *testing.T) {
	clock := newClock()
	m := startMiniredis(t, clock)
	r := openRedis(t, "redis://"+m.Addr(), "awareid")
	now := clock.now()
	after := func(d time.Duration) time.Time { return now.Add(d) }
	attend := func(who string, until time.Time) event.Roster {
		t.Helper()
		roster, err := r.Attend(t.Context(), who, until)
		require.NoError(t, err)
		require.Equal(t, clock.now().UnixMilli(), roster.Now.UnixMilli())
		return roster
	}

	require.Zero(t, attend("a", time.Time{}).FirstEnd, "looking leaves no lease")
	require.Zero(t, attend("a", after(2*time.Second)).FirstEnd, "nobody else is there")
	require.Equal(t, after(2*time.Second).UnixMilli(), attend("b", after(3*time.Second)).FirstEnd.UnixMilli())
	got := attend("a", after(time.Second))
	require.Equal(t, after(3*time.Second).UnixMilli(), got.FirstEnd.UnixMilli())
	require.Equal(t, []string{"b"}, got.Present)
	require.Equal(t, after(2*time.Second).UnixMilli(), attend("c", time.Time{}).FirstEnd.UnixMilli(), "a late request takes nothing back")

	clock.pass(2 * time.Second)
	got = attend("c", time.Time{})
	require.Equal(t, []string{"a"}, got.Absent)
	require.Equal(t, []string{"b"}, got.Present)
	require.Equal(t, after(3*time.Second).UnixMilli(), got.FirstEnd.UnixMilli(), "an end that is past says nothing of what is to come")

	require.NoError(t, r.Dismiss(t.Context(), []string{"a", "b", "unknown"}))
	got = attend("c", time.Time{})
	require.Empty(t, got.Absent)
	require.NotZero(t, got.FirstEnd, "b has not ended")
	require.NoError(t, r.Leave(t.Context(), "b"))
	require.Zero(t, attend("c", time.Time{}).FirstEnd)
}
