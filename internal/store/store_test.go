package store_test

import (
	"context"
	"crypto/rand"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/event"
	"awareid-gateway/internal/store"
)

// claims is what both stores can do.
type claims interface {
	Claim(ctx context.Context, c event.Claim, terms event.Terms) (event.Claim, event.Verdict, error)
	Renew(ctx context.Context, key, token string, lease time.Duration) (bool, error)
	Spool(ctx context.Context, key, token string) (bool, error)
	Confirm(ctx context.Context, done []event.Delivery) ([]bool, error)
	Release(ctx context.Context, key, token string) error
	Ping(ctx context.Context) error
	Close() error
}

// fixture is an empty store, and a way to let its time pass.
type fixture struct {
	claims
	replica claims // another gateway's store on the same records
	pass    func(time.Duration)
	now     func() time.Time
	stopped bool // time passes only when told to
}

// backends are the stores that the conformance suite runs on.
func backends() map[string]func(*testing.T) fixture {
	all := map[string]func(*testing.T) fixture{
		"miniredis": onMiniredis,
		"file":      onFile,
	}
	if os.Getenv("TEST_REDIS_URL") != "" {
		all["redis"] = onRealRedis
	}
	return all
}

// clock is a time that only moves when told to.
type clock struct {
	mu  sync.Mutex
	at  time.Time
	set func(time.Time) // told of every change, if not nil
}

func newClock() *clock { return &clock{at: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
	if c.set != nil {
		c.set(c.at)
	}
}

func onFile(t *testing.T) fixture {
	c := newClock()
	f := openFile(t, filepath.Join(t.TempDir(), "claims.db"), c.now)
	return fixture{claims: f, replica: f, pass: c.pass, now: c.now, stopped: true}
}

func openFile(t *testing.T, path string, now func() time.Time) *store.File {
	f, err := store.OpenFile(path, now)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, f.Close()) })
	return f
}

func onMiniredis(t *testing.T) fixture {
	c := newClock()
	server := startMiniredis(t, c)
	url := "redis://" + server.Addr()
	return fixture{
		claims:  openRedis(t, url, "awareid"),
		replica: openRedis(t, url, "awareid"),
		pass:    c.pass, now: c.now, stopped: true,
	}
}

func startMiniredis(t *testing.T, c *clock) *miniredis.Miniredis {
	server := miniredis.RunT(t)
	server.SetTime(c.now())
	server.ClockTTL(true)
	c.set = server.SetTime
	return server
}

func openRedis(t *testing.T, url, namespace string) *store.Redis {
	r, err := store.OpenRedis(url, namespace)
	require.NoError(t, err)
	t.Cleanup(func() { _ = r.Close() })
	return r
}

// onRealRedis has a namespace of its own on the server of TEST_REDIS_URL. Since
// that server's clock cannot be moved, time passes by making the records older.
func onRealRedis(t *testing.T) fixture {
	url, namespace := os.Getenv("TEST_REDIS_URL"), "test-"+rand.Text()
	client := realClient(t)
	t.Cleanup(func() { removeKeys(t, client, namespace) })
	return fixture{
		claims:  openRedis(t, url, namespace),
		replica: openRedis(t, url, namespace),
		pass:    func(d time.Duration) { makeOlder(t, client, namespace, d) },
		now:     func() time.Time { return client.Time(t.Context()).Val() },
	}
}

func realClient(t testing.TB) *redis.Client {
	o, err := redis.ParseURL(os.Getenv("TEST_REDIS_URL"))
	require.NoError(t, err)
	client := redis.NewClient(o)
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func keysOf(t testing.TB, client *redis.Client, namespace string) []string {
	var keys []string
	for it := client.Scan(context.Background(), 0, namespace+":*", 1000).Iterator(); it.Next(context.Background()); {
		keys = append(keys, it.Val())
	}
	return keys
}

func removeKeys(t testing.TB, client *redis.Client, namespace string) {
	for some := range slices.Chunk(keysOf(t, client, namespace), 1000) {
		require.NoError(t, client.Del(context.Background(), some...).Err())
	}
}

func makeOlder(t *testing.T, client *redis.Client, namespace string, d time.Duration) {
	for _, key := range append(keysOf(t, client, namespace+":claim"), keysOf(t, client, namespace+":alias")...) {
		left := client.PTTL(t.Context(), key).Val()
		require.Positive(t, left, "every record has its time")
		require.NoError(t, client.PExpire(t.Context(), key, left-d).Err())
		if !strings.HasPrefix(key, namespace+":claim") || left <= d {
			continue
		}
		lines := strings.Split(client.Get(t.Context(), key).Val(), "\n")
		last := len(lines) - 1
		if until, _ := strconv.ParseInt(lines[last], 10, 64); until > 0 {
			lines[last] = strconv.FormatInt(until-d.Milliseconds(), 10)
			require.NoError(t, client.Set(t.Context(), key, strings.Join(lines, "\n"), redis.KeepTTL).Err())
		}
	}
}

// info finds a field in the answer of INFO.
func info(text, field string) string {
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, field+":"); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
