package server_test

import (
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/server"
)

var stranger = netip.MustParseAddr("203.0.113.9")

// trail is an audit, and the lines that it wrote.
func trail(opts server.Audit) (server.AuditTrail, func(t *testing.T) []map[string]any) {
	log := &logBuffer{}
	a := server.NewAuditTrail(opts, slog.New(slog.NewJSONHandler(log, nil)))
	return a, func(t *testing.T) (lines []map[string]any) {
		t.Helper()
		for line := range strings.Lines(log.String()) {
			var attrs map[string]any
			require.NoError(t, json.Unmarshal([]byte(line), &attrs))
			delete(attrs, "time")
			lines = append(lines, attrs)
		}
		return lines
	}
}

const leftOut = "refused, without a line for each"

func TestAuditUnderAFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, lines := trail(server.Audit{LinesPerSecond: 3, Address: server.AddressPlain})
		for range 100 {
			a.Refuse("signature", stranger, nil)
		}
		a.Refuse("path", stranger, nil)
		require.Len(t, lines(t), 4, "each cause has its own")
		time.Sleep(time.Second + time.Millisecond)
		synctest.Wait()
		require.Equal(t, map[string]any{"level": "INFO", "msg": leftOut, "signature": 97.0}, lines(t)[4])

		time.Sleep(time.Minute)
		synctest.Wait()
		require.Len(t, lines(t), 5, "nothing where there is nothing")
		for range 5 {
			a.Refuse("signature", stranger, nil)
		}
		require.Len(t, lines(t), 8)
		a.Flush()
		a.Flush()
		require.Equal(t, 2.0, lines(t)[8]["signature"])
		time.Sleep(time.Minute)
		synctest.Wait()
		require.Len(t, lines(t), 9, "each is counted once")
	})
}

// TestAuditCountsAll, whoever refuses meanwhile.
func TestAuditCountsAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, lines := trail(server.Audit{LinesPerSecond: 10, Address: server.AddressNone})
		for range 4 {
			go func() {
				for range 5000 {
					a.Refuse("signature", stranger, nil)
					time.Sleep(time.Millisecond)
				}
			}()
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		a.Flush()
		sum, single := 0.0, 0
		for _, line := range lines(t) {
			if line["msg"] == leftOut {
				sum += line["signature"].(float64)
			} else {
				single++
			}
		}
		require.EqualValues(t, 20_000, sum+float64(single))
		require.LessOrEqual(t, single, 60)
	})
}

func TestAuditLine(t *testing.T) {
	for _, tc := range []struct {
		how  server.AuditAddress
		want map[string]any
	}{
		{server.AddressPlain, map[string]any{"address": "203.0.113.9"}},
		{server.AddressNone, nil},
	} {
		a, lines := trail(server.Audit{LinesPerSecond: 1, Address: tc.how})
		a.Refuse("signature", stranger, nil)
		want := map[string]any{"level": "INFO", "msg": "refused", "cause": "signature", "status": 401.0, "webhook": "hook"}
		for key, value := range tc.want {
			want[key] = value
		}
		require.Equal(t, []map[string]any{want}, lines(t))
	}
}

func TestAuditHashesJoinWithinAProcess(t *testing.T) {
	hash := server.Audit{LinesPerSecond: 9, Address: server.AddressHash}
	a, lines := trail(hash)
	for _, addr := range []string{"203.0.113.9", "203.0.113.9", "203.0.113.10", "2001:db8::1"} {
		a.Refuse("signature", netip.MustParseAddr(addr), nil)
	}
	got := lines(t)
	require.Equal(t, got[0]["address"], got[1]["address"])
	require.NotEqual(t, got[0]["address"], got[2]["address"])
	require.NotEqual(t, got[2]["address"], got[3]["address"])
	require.Regexp(t, `^[0-9a-f]{16}$`, got[0]["address"])
	another, others := trail(hash)
	another.Refuse("signature", stranger, nil)
	require.NotEqual(t, got[0]["address"], others(t)[0]["address"], "no table of hashes fits a second process")
}

func TestNoAudit(t *testing.T) {
	a, lines := trail(server.Audit{})
	for range 10 {
		a.Refuse("signature", stranger, nil)
	}
	a.Flush()
	require.Empty(t, lines(t))
	a.Refuse("kafka", stranger, errors.New("no leader"))
	require.Equal(t, "no leader", lines(t)[0]["error"], "an event that could not be taken is always told")
	require.Equal(t, "WARN", lines(t)[0]["level"])
}

// TestEveryKindOfRefusalIsAudited: by a handler, by fasthttp, and at accept.
func TestEveryKindOfRefusalIsAudited(t *testing.T) {
	g := newBackend(t).serve(t, func(s *setUp) {
		s.Audit = server.Audit{LinesPerSecond: 2, Address: server.AddressPlain}
		s.Limits.TrustedProxies = prefixes("127.0.0.1/32")
		s.Limits.MaxConnections = 2
	})
	c := g.dial(t)
	forged := post(server.Path, http.Header{"X-Forwarded-For": {"198.51.100.7"}}, []byte("forged"))
	for range 5 {
		require.Equal(t, 401, c.send(forged).answer(t).status)
	}
	g.dial(t)
	g.dial(t).ended(t)
	require.Equal(t, 400, c.send("bad\r\nX-Forwarded-For: 198.51.100.7\r\n\r\n").answer(t).status)
	require.NoError(t, within(5*time.Second, g.Shutdown))
	log := g.log.String()
	told := strings.Count(log, "msg=refused cause=auth_header status=401 webhook="+webhookID+" address=198.51.100.7\n")
	require.GreaterOrEqual(t, told, 2)
	for _, count := range regexp.MustCompile(`" auth_header=(\d+)`).FindAllStringSubmatch(log, -1) {
		n, err := strconv.Atoi(count[1])
		require.NoError(t, err)
		told += n
	}
	require.Equal(t, 5, told, "what was left out is told at the stop at the latest")
	require.Contains(t, log, "msg=refused cause=syntax status=400 address=127.0.0.1\n")
	require.Contains(t, log, "msg=refused cause=connections address=127.0.0.1\n")
}
