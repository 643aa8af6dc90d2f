package store_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"math/big"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/alicebob/miniredis/v2/server"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/event"
	"awareid-gateway/internal/store"
)

func TestServerThatForgotTheScripts(t *testing.T) {
	m := startMiniredis(t, newClock())
	f := fixture{claims: openRedis(t, "redis://"+m.Addr(), "awareid")}
	f.want(t, event.Granted, "a")

	client := redis.NewClient(&redis.Options{Addr: m.Addr()})
	defer client.Close()
	require.NoError(t, client.ScriptFlush(t.Context()).Err())

	f.want(t, event.Busy, "b")
	require.Equal(t, []bool{true}, f.confirm(t, delivery("a")))

	require.NoError(t, client.ScriptFlush(t.Context()).Err())
	require.Equal(t, key, f.aliasOf(t, "evt-1"))
	require.NoError(t, client.ScriptFlush(t.Context()).Err())
	f.want(t, event.Delivered, "b") // and so only the other script is unknown
	require.Equal(t, key, f.aliasOf(t, "evt-2"))
}

// TestAnAliasThatCannotBeAsked makes a claim none: it might be another event's.
func TestAnAliasThatCannotBeAsked(t *testing.T) {
	m := startMiniredis(t, newClock())
	_, err := m.Push("awareid:alias:"+aliasOfEvt1, "something else")
	require.NoError(t, err)
	r := openRedis(t, "redis://"+m.Addr(), "awareid")

	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			c := aliased(fmt.Sprint("evt-", i), "a")
			if i > 0 {
				c.Alias += fmt.Sprint(i)
			}
			_, verdict, err := r.Claim(t.Context(), c, terms)
			if bad := i == 0; bad != (err != nil) || bad == (verdict == event.Granted) {
				t.Errorf("claim %d: verdict %d, error %v", i, verdict, err)
			}
		})
	}
	all.Wait()

	d := delivery("a")
	d.Alias = aliasOfEvt1
	_, err = r.Confirm(t.Context(), []event.Delivery{d})
	require.ErrorContains(t, err, "WRONGTYPE")
}

// TestOneBadKeyHarmsNoOther has a key that is no claim among others in a group.
func TestOneBadKeyHarmsNoOther(t *testing.T) {
	claimKey := "awareid:claim:" + key
	for name, test := range map[string]struct {
		spoil func(m *miniredis.Miniredis) error
		want  string
	}{
		"no string":      {func(m *miniredis.Miniredis) error { _, err := m.Push(claimKey, "something else"); return err }, "WRONGTYPE"},
		"another string": {func(m *miniredis.Miniredis) error { return m.Set(claimKey, "something else") }, "not a claim"},
	} {
		t.Run(name, func(t *testing.T) {
			m := startMiniredis(t, newClock())
			require.NoError(t, test.spoil(m))
			r := openRedis(t, "redis://"+m.Addr(), "awareid")

			var all sync.WaitGroup
			for i := range 20 {
				all.Go(func() {
					c := attempt("a")
					if i > 0 {
						c.Key = fmt.Sprint("webhook/", i)
					}
					_, verdict, err := r.Claim(t.Context(), c, terms)
					if bad := i == 0; bad != (err != nil) || bad == (verdict == event.Granted) {
						t.Errorf("claim %d: verdict %d, error %v", i, verdict, err)
					}
				})
			}
			all.Wait()

			before := m.Dump()
			for _, found := range []bool{false, true} {
				d := delivery("a")
				d.Read = found
				_, err := r.Confirm(t.Context(), []event.Delivery{d})
				require.ErrorContains(t, err, test.want)
			}
			require.Equal(t, before, m.Dump(), "what is not ours is left as it is")
		})
	}
}

// TestSilentServer has a server that takes requests and never answers.
func TestSilentServer(t *testing.T) {
	m := miniredis.RunT(t)
	release := make(chan struct{})
	m.Server().SetPreHook(func(*server.Peer, string, ...string) bool { <-release; return false })
	r := openRedis(t, "redis://"+m.Addr(), "awareid")
	t.Cleanup(func() { close(release) })

	for name, call := range map[string]func(context.Context) error{
		"claim": func(ctx context.Context) error {
			_, _, err := r.Claim(ctx, attempt("a"), terms)
			return err
		},
		"release": func(ctx context.Context) error { return r.Release(ctx, key, "a") },
		"ping":    r.Ping,
	} {
		began := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		require.ErrorIs(t, call(ctx), context.DeadlineExceeded, name)
		require.Less(t, time.Since(began), time.Second, "%s waits no longer than its context", name)
		cancel()
	}
}

// TestLateClaim has a caller that goes while its claim is on the way: nobody is
// there to act on it, and it must not hold up the next attempt for a lease.
func TestLateClaim(t *testing.T) {
	m := startMiniredis(t, newClock())
	r := openRedis(t, "redis://"+m.Addr(), "awareid")
	require.NoError(t, r.Ping(t.Context()))
	arrived, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	m.Server().SetPreHook(func(_ *server.Peer, cmd string, _ ...string) bool {
		if strings.HasPrefix(cmd, "EVAL") {
			once.Do(func() { close(arrived) })
			<-release
		}
		return false
	})
	ctx, cancel := context.WithCancel(t.Context())
	gone := make(chan error)
	go func() {
		_, _, err := r.Claim(ctx, attempt("a"), terms)
		gone <- err
	}()
	<-arrived
	cancel()
	require.ErrorIs(t, <-gone, context.Canceled)
	close(release)
	require.Eventually(t, func() bool {
		_, verdict, err := r.Claim(t.Context(), attempt("b"), terms)
		return err == nil && verdict == event.Granted
	}, 10*time.Second, time.Millisecond)
}

func TestServerIsAway(t *testing.T) {
	m := miniredis.RunT(t)
	r := openRedis(t, "redis://"+m.Addr(), "awareid")
	m.Close()

	require.Error(t, r.Ping(t.Context()))
	_, verdict, err := r.Claim(t.Context(), attempt("a"), terms)
	require.Error(t, err)
	require.Zero(t, verdict)

	require.NoError(t, m.Restart())
	require.NoError(t, r.Ping(t.Context()))
	fixture{claims: r}.want(t, event.Granted, "a")
}

func TestInfo(t *testing.T) {
	cases := map[string]struct{ info, policy, version string }{
		"both":  {"# Server\r\nredis_version:7.0.15\r\nmaxmemory_policy:allkeys-lru\r\n", "allkeys-lru", "7.0.15"},
		"good":  {"maxmemory_policy:noeviction\r\n", "noeviction", ""},
		"mute":  {"# Memory\r\nold_maxmemory_policy:x\r\n", "", ""},
		"empty": {"", "", ""},
	}
	for name, tc := range cases {
		for _, scheme := range []string{"redis://", "redis+cluster://"} {
			t.Run(scheme+name, func(t *testing.T) {
				m := miniredis.RunT(t)
				m.Server().SetPreHook(func(c *server.Peer, cmd string, _ ...string) bool {
					if cmd == "INFO" {
						c.WriteBulk(tc.info)
					}
					return cmd == "INFO"
				})
				r := openRedis(t, scheme+m.Addr(), "awareid")

				policy, err := r.EvictionPolicy(t.Context())
				require.NoError(t, err)
				require.Equal(t, tc.policy, policy)
				version, err := r.Version(t.Context())
				require.NoError(t, err)
				require.Equal(t, tc.version, version)

				m.SetError("ERR down")
				_, err = r.EvictionPolicy(t.Context())
				require.Error(t, err)
				_, err = r.Version(t.Context())
				require.Error(t, err)
			})
		}
	}
}

func TestCondition(t *testing.T) {
	for info, want := range map[string]store.Condition{
		"":                       {},
		"aof_enabled:1\r\n":      {Persistence: "on"},
		"aof_enabled:0\r\n":      {Persistence: "off"},
		"connected_slaves:0\r\n": {},
		"connected_slaves:2\r\n": {Unguarded: true},
		"connected_slaves:2\r\nmin_slaves_good_slaves:2\r\n": {},
		"used_memory:75\r\nmaxmemory:100\r\n":                {Fullness: 0.75},
		"used_memory:75\r\nmaxmemory:0\r\n":                  {},
		"used_memory:much\r\nmaxmemory:more\r\n":             {},
	} {
		t.Run(info, func(t *testing.T) {
			m := miniredis.RunT(t)
			m.Server().SetPreHook(func(c *server.Peer, cmd string, _ ...string) bool {
				if cmd == "INFO" {
					c.WriteBulk(info)
				}
				return cmd == "INFO"
			})
			for _, scheme := range []string{"redis://", "redis+cluster://"} {
				got, err := openRedis(t, scheme+m.Addr(), "awareid").Condition(t.Context())
				require.NoError(t, err)
				require.Equal(t, want, got)
			}
			m.SetError("ERR down")
			_, err := openRedis(t, "redis://"+m.Addr(), "awareid").Condition(t.Context())
			require.Error(t, err)
		})
	}
}

func TestAhead(t *testing.T) {
	m := miniredis.RunT(t)
	m.SetTime(time.Now().Add(time.Hour))
	r := openRedis(t, "redis://"+m.Addr(), "awareid")
	ahead, err := r.Ahead(t.Context())
	require.NoError(t, err)
	require.InDelta(t, time.Hour, ahead, float64(time.Minute))
	m.SetError("ERR down")
	_, err = r.Ahead(t.Context())
	require.Error(t, err)
}

// TestURLs connects in each of the forms, and checks who was asked for a password.
func TestURLs(t *testing.T) {
	m := miniredis.RunT(t)
	m.RequireUserAuth("gateway", "p@ss/w:rd")
	const user = "gateway:p%40ss%2Fw%3Ard@"
	sentinel := startSentinel(t, m, "")
	closed := startSentinel(t, m, "sesame")

	for name, url := range map[string]string{
		"single":           "redis://" + user + m.Addr(),
		"database":         "redis://" + user + m.Addr() + "/5",
		"parameters":       "redis://" + user + m.Addr() + "?pool_size=3&read_timeout=1s&db=2",
		"sentinel":         "redis+sentinel://" + user + sentinel + "/1?master_name=main",
		"two sentinels":    "redis+sentinel://" + user + "127.0.0.1:1," + sentinel + "?master_name=main",
		"closed sentinels": "redis+sentinel://" + user + closed + "?master_name=main&sentinel_password=sesame",
		"cluster":          "redis+cluster://" + user + m.Addr(),
		"cluster of two":   "redis+cluster://" + user + "127.0.0.1:1," + m.Addr() + "/0",
	} {
		t.Run(name, func(t *testing.T) {
			r := openRedis(t, url, strings.ReplaceAll(name, " ", "-"))
			require.NoError(t, r.Ping(t.Context()))
			f := fixture{claims: r}
			f.want(t, event.Granted, "a")
			require.Equal(t, []bool{true}, f.confirm(t, delivery("a")))
			f.want(t, event.Delivered, "b")
		})
	}
}

func startSentinel(t *testing.T, master *miniredis.Miniredis, password string) string {
	s := miniredis.RunT(t)
	if password != "" {
		s.RequireAuth(password)
	}
	require.NoError(t, s.Server().Register("SENTINEL", func(c *server.Peer, _ string, args []string) {
		if !strings.EqualFold(args[0], "get-master-addr-by-name") {
			c.WriteLen(0)
			return
		}
		if args[1] != "main" {
			c.WriteNull()
			return
		}
		c.WriteStrings([]string{master.Host(), master.Port()})
	}))
	return s.Addr()
}

func TestTLS(t *testing.T) {
	m := miniredis.NewMiniRedis()
	require.NoError(t, m.StartTLS(selfSigned(t)))
	t.Cleanup(m.Close)

	r := openRedis(t, "rediss://"+m.Addr()+"?skip_verify=true", "awareid")
	fixture{claims: r}.want(t, event.Granted, "a")

	r = openRedis(t, "rediss://"+m.Addr(), "awareid")
	require.ErrorContains(t, r.Ping(t.Context()), "certificate")
}

var badURLs = []string{
	"",
	"s3cr3t",
	"s3cr3t://h:1",
	"http://:s3cr3t@h:1",
	"redis+://:s3cr3t@h:1",
	"redis+tunnel://:s3cr3t@h:1",
	"redis+sentinel+cluster://:s3cr3t@h:1",
	"unix://:s3cr3t@/run/redis.sock",
	"redis://",
	"redis://:s3cr3t@",
	"redis://:s3cr3t@h:1,h:2",
	"redis://:s3cr3t@h:1/zero",
	"redis://:s3cr3t@h:1/1/2",
	"redis://:s3cr3t@h:1?no_such=1",
	"redis://:s3cr3t@h:1?pool_size=many",
	"redis://:s3cr3t@h:1?db=1;db=2",
	"redis://:s3cr3t@h:port",
	"redis://:s3cr3t/x@h:1",
	"redis://:s3cr3t#x@h:1",
	"redis://:s3cr3t?x@h:1",
	"redis://:s3cr3t%zz@h:1",
	"redis://:x s3cr3t@h:1",
	"redis+sentinel://:s3cr3t@h:1",
	"redis+sentinel://:s3cr3t@h:1,?master_name=m",
	"redis+sentinel://:s3cr3t@h:1?master_name=m&route_randomly=true",
	"redis+cluster://:s3cr3t@h:1/4",
	"redis+cluster://:s3cr3t@h:1?read_only=true",
	"redis+cluster://:s3cr3t@h:1?addr=s3cr3t",
}

func TestBadURLs(t *testing.T) {
	for _, url := range badURLs {
		t.Run(url, func(t *testing.T) {
			_, err := store.OpenRedis(url, "awareid")
			require.ErrorIs(t, err, store.ErrURL)
			require.NotContains(t, err.Error(), "s3cr3t")
		})
	}
}

// FuzzURL holds OpenRedis to quoting nothing: the words of each of its errors are
// its own, whatever the URL is.
func FuzzURL(f *testing.F) {
	for _, url := range badURLs {
		f.Add(url)
	}
	f.Add("rediss+sentinel://user:pw@[::1]:26379,h2/2?master_name=m&sentinel_password=x")
	f.Add("rediss+cluster://h1,h2:7000?max_redirects=3")

	f.Fuzz(func(t *testing.T, url string) {
		r, err := store.OpenRedis(url, "awareid")
		if err == nil {
			require.NoError(t, r.Close())
			return
		}
		require.ErrorIs(t, err, store.ErrURL)
		require.True(t, knownErrors[err.Error()], "a new error text: %s", err)
	})
}

var knownErrors = map[string]bool{
	"bad Redis URL: want redis://, rediss://, redis+sentinel:// or redis+cluster://":                 true,
	"bad Redis URL: a host is missing (is a special character in the password not percent-encoded?)": true,
	"bad Redis URL: not a URL (is a special character in the password not percent-encoded?)":         true,
	"bad Redis URL: several hosts need redis+sentinel:// or redis+cluster://":                        true,
	"bad Redis URL: a host, the database or a parameter is not valid":                                true,
	"bad Redis URL: redis+sentinel:// needs ?master_name=":                                           true,
	"bad Redis URL: claims cannot be made on replicas":                                               true,
	"bad Redis URL: a cluster has only database 0":                                                   true,
}

func selfSigned(t *testing.T) *tls.Config {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{cert}, PrivateKey: key}}}
}
