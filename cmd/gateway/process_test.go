package main

import (
	"encoding/json"
	"net/http"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/config"
	"awareid-gateway/internal/server"
)

// TestProcess starts the program as a service manager does and stops it with
// SIGTERM, at rest and while events come in.
func TestProcess(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	g := s.ready(t, startProcess(t, s.environ()))
	e := newSample("enrollment.completed")
	requireAnswer(t, http.StatusOK, "accepted", e.id, g.send(t, e))
	require.Equal(t, exitOK, g.end(t))
	require.Contains(t, g.err.String(), `"msg":"stopped"`)
	require.Empty(t, g.out.String())

	g = s.ready(t, startProcess(t, s.environ(unhurried), "serve"))
	requireAnswer(t, http.StatusOK, "duplicate", e.id, g.send(t, e))
	var answered sync.Map
	var count atomic.Int64
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for postOne(t, g, &answered) {
				if count.Add(1) == 100 {
					g.stop()
				}
			}
		})
	}
	all.Wait()
	require.Equal(t, exitOK, g.end(t), g.lastWords())
	want := []string{e.id}
	answered.Range(func(id, _ any) bool {
		want = append(want, id.(string))
		return true
	})
	require.ElementsMatch(t, want, ids(s.records(t)))
}

// TestSecondSignal ends the program at once, whatever is in flight.
func TestSecondSignal(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	p := startProcess(t, s.environ())
	g := &gateway{program: p, stack: s, url: "http://" + p.await(t, p.err, 1, `"listener":"public","address":"([^"]+)"`)[1]}
	g.begin(t, 70<<10)
	g.admin = "http://" + p.await(t, p.err, 1, `"listener":"admin","address":"([^"]+)"`)[1]
	require.Eventually(t, func() bool { // the request has begun
		body := g.get("/metrics").body
		return strings.Contains(body, "\ngateway_body_bytes ") && !strings.Contains(body, "\ngateway_body_bytes 0\n")
	}, patience, 10*time.Millisecond)
	p.signal()
	p.await(t, p.err, 1, `"msg":"stopping`)
	require.Eventually(t, func() bool { // the first one is forgotten at once, but not in no time
		p.signal()
		select {
		case <-p.ended:
			return true
		default:
			return false
		}
	}, patience, 10*time.Millisecond)
	require.Equal(t, -1, p.exit(t)) // ended by the signal
	require.NotContains(t, p.err.String(), `"msg":"stopped"`)
}

func TestHelp(t *testing.T) {
	t.Parallel()
	for _, command := range []string{"", "serve", "dev", "check", "send", "simulate", "inspect", "webhook", "webhook rotate", "version"} {
		t.Run(command, func(t *testing.T) {
			t.Parallel()
			r := runProcess(t, nil, append(strings.Fields(command), "--help")...)
			require.Equal(t, exitOK, r.code, r.err)
			require.Contains(t, r.out, strings.TrimSpace("Usage: gateway "+command))
			require.Equal(t, 1, strings.Count(r.out, "Usage: "))
			require.Empty(t, r.err)
		})
	}
	all := runProcess(t, nil, "--help").out
	for _, command := range []string{"serve", "dev", "check", "send", "simulate", "inspect", "webhook", "version"} {
		require.Regexp(t, `(?m)^  `+command+` `, all)
	}
	variables := runProcess(t, nil, "serve", "--help").out
	for _, v := range config.Variables() {
		require.Regexp(t, `(?m)^ +`+v.Name+`(=\S+)?( \(required\))?$`, variables)
		require.Contains(t, variables, v.Description+"\n")
	}
}

func TestVersion(t *testing.T) {
	t.Parallel()
	r := runProcess(t, nil, "version")
	require.Equal(t, exitOK, r.code)
	require.Regexp(t, `^gateway dev \S* ?`+runtime.Version()+" "+runtime.GOOS+"/"+runtime.GOARCH+"\n$", r.out)
	r = runProcess(t, nil, "version", "--json")
	require.Equal(t, exitOK, r.code)
	var about map[string]string
	require.NoError(t, json.Unmarshal([]byte(r.out), &about))
	require.Equal(t, "dev", about["version"])
	require.Equal(t, runtime.Version(), about["go"])
}

func TestUsageErrors(t *testing.T) {
	t.Parallel()
	for _, args := range []string{"frobnicate", "--frobnicate", "serve --frobnicate", "serve now", "dev --count", "send", "inspect", "version --yaml"} {
		t.Run(args, func(t *testing.T) {
			t.Parallel()
			r := runProcess(t, nil, strings.Fields(args)...)
			require.Equal(t, exitUsage, r.code, r.out)
			require.Regexp(t, `^gateway: .+\nTry gateway --help\.\n$`, r.err)
			require.Empty(t, r.out)
		})
	}
}

// TestBadConfiguration is answered with all that is wrong at once.
func TestBadConfiguration(t *testing.T) {
	t.Parallel()
	bad := []string{
		"AWAREID_WEBHOOK_ID=not an id", "AWAREID_WEBHOOK_SECRETS=hunter2-hunter2", "AWAREID_AUTH_HEADER_VALUE=hunter2-value",
		"HTTP_ADDR=8080", "HTTP_MAX_BODY_BYTES=-1", "HTTP_READ_TIMEOUT=10", "ADMIN_TOKEN=hunter2", "ADMIN_ADDR=0.0.0.0:x",
		"KAFKA_TOPIC_PREFIX=a/b", "KAFKA_ROUTES=enrollment", "KAFKA_SASL_MECHANISM=gssapi", "KAFKA_SASL_PASSWORD=hunter2-sasl",
		"KAFKA_BROKER=localhost:9092", "REDIS_URL=http://:hunter2@redis", "DEDUP_LEASE=1s", "QUARANTINE_KEY=hunter2-key",
		"DECRYPT_PRIVATE_KEY=hunter2-pem", "LOG_LEVEL=loud", "SIGNATURE_COVERS=nothing", "TRUSTED_PROXIES=everybody",
	}
	r := runProcess(t, bad, "serve")
	require.Equal(t, exitUsage, r.code, r.out)
	require.Empty(t, r.out)
	require.NotContains(t, r.err, "hunter2")
	for _, name := range append(bad, "KAFKA_BROKERS", "AWAREID_AUTH_HEADER_KEY", "KAFKA_SASL_USERNAME") {
		name, _, _ = strings.Cut(name, "=")
		if name == "AWAREID_AUTH_HEADER_VALUE" || name == "KAFKA_SASL_PASSWORD" {
			continue // there is nothing wrong with these
		}
		require.Contains(t, r.err, "\n  "+name+": ")
	}
}

// TestStartFails says which of the things around the gateway is the cause.
func TestStartFails(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		environ []string
		code    int
		want    []string
	}{
		{"Redis is down", []string{"SPOOL_DIR=none", "REDIS_URL=redis://user:a-password@" + nobody}, exitFailed, []string{"Redis", "connection refused"}},
		{"Kafka is down", []string{"SPOOL_DIR=none", "KAFKA_BROKERS=" + nobody}, exitFailed, []string{"Kafka", "connection refused"}},
		{"topics are missing", []string{"KAFKA_CREATE_TOPICS=false"}, exitFailed, []string{
			"topics are missing: ", ".enrollment", ".authentication", ".reenrollment", ".other", ".quarantine", "KAFKA_CREATE_TOPICS=true",
		}},
		{"no such file", []string{"KAFKA_TLS=true", "KAFKA_TLS_CA_FILE=/nowhere/ca.pem"}, exitUsage, []string{"KAFKA_TLS_CA_FILE", "/nowhere/ca.pem"}},
		{"no place for a spool", []string{"SPOOL_DIR=/dev/null/spool"}, exitFailed, []string{"/dev/null"}},
		{"no such folder", []string{"REDIS_URL=", "STORE_FILE=/nowhere/gateway.db"}, exitFailed, []string{"/nowhere/gateway.db"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r := runProcess(t, newStack(t).environ(test.environ...), "serve")
			require.Equal(t, test.code, r.code, r.err)
			printed := lines(r.err)
			for _, want := range test.want {
				require.Contains(t, printed[len(printed)-1], want)
			}
			require.True(t, strings.HasPrefix(printed[len(printed)-1], "gateway: start: "), r.err)
			require.NotContains(t, r.err, "a-password")
		})
	}
}

// TestSecondProcess is refused the first one's file, and the first one's
// ports. The first goes on.
func TestSecondProcess(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.redisURL = ""
	file := "STORE_FILE=" + filepath.Join(t.TempDir(), "gateway.db")
	g := s.ready(t, startProcess(t, s.environ(file), "serve"))

	r := runProcess(t, s.environ(file), "serve")
	require.Equal(t, exitFailed, r.code)
	require.Regexp(t, `gateway: start: .*gateway\.db: claim file is in use by another process\n$`, r.err)

	for name, address := range map[string]string{"HTTP_ADDR": g.url, "ADMIN_ADDR": g.admin, "PROBE_ADDR": g.admin} {
		other := "STORE_FILE=" + filepath.Join(t.TempDir(), "other.db")
		r := runProcess(t, s.environ(other, name+"="+strings.TrimPrefix(address, "http://")), "serve")
		require.Equal(t, exitFailed, r.code)
		require.Regexp(t, `gateway: start: `+name+`: .*address already in use\n$`, r.err)
	}
	e := newSample("enrollment.started")
	requireAnswer(t, http.StatusOK, "accepted", e.id, g.send(t, e))
	r = runProcess(t, secretOf(s), "send", g.url+server.Path)
	require.Equal(t, exitOK, r.code, r.err)
}
