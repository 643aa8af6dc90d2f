//go:build integration

package main

import (
	"net/http"
	"os/exec"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/simulator"
)

// TestKcat reads records with a client that shares no code with the gateway.
func TestKcat(t *testing.T) {
	t.Parallel()
	kcat, err := exec.LookPath("kcat")
	require.NoError(t, err, "this test reads Kafka with kcat: apt-get install kcat, or brew install kcat")
	s := newStack(t)
	g := s.serve(t)
	for _, e := range []sample{
		newSample("enrollment.completed"), sampleOf("authentication.started", ""), newSample("reenrollment.face.check"), newSample("payments.made"),
	} {
		requireAnswer(t, http.StatusOK, "accepted", e.id, g.send(t, e))
		topic := s.topic(familyOf(e.eventType))
		printed, err := exec.Command(kcat, "-C", "-e", "-q", "-b", s.brokers, "-t", topic, "-f", `%k %h %s\n`).Output()
		require.NoError(t, err)
		received := byID(t, s.records(t, topic), e).Header("gateway-received-at")
		require.Equal(t, kcatLine(e, s.hook.ID, received), string(printed))
	}
}

// kcatLine is a record as kcat prints it with -f '%k %h %s\n'.
func kcatLine(e sample, hookID, received string) string {
	var headers []string
	for _, h := range append(e.headers(hookID), simulator.Header{Key: "gateway-received-at", Value: received}) {
		headers = append(headers, h.Key+"="+h.Value)
	}
	return e.key() + " " + strings.Join(headers, ",") + " " + string(e.body) + "\n"
}

// TestCheckEvictionPolicy warns of a Redis that may forget. It is not run
// beside others, which share the Redis.
func TestCheckEvictionPolicy(t *testing.T) {
	s := newStack(t)
	s.createTopics(t, "", nil)
	options, err := redis.ParseURL(s.redisURL)
	require.NoError(t, err)
	client := redis.NewClient(options)
	defer client.Close()
	before := client.ConfigGet(t.Context(), "maxmemory-policy").Val()["maxmemory-policy"]
	set := func(policy string) {
		require.NoError(t, client.ConfigSet(t.Context(), "maxmemory-policy", policy).Err())
	}
	defer set(before)

	set("noeviction")
	r := runToEnd(t, s.environ(), "check")
	require.Equal(t, exitOK, r.code, r.out)
	require.NotContains(t, r.out, "maxmemory-policy")
	require.Regexp(t, `(?m)^ok    store          Redis \d+\.\d+\S* answers$`, r.out)

	set("allkeys-lru")
	r = runToEnd(t, s.environ(), "check")
	require.Equal(t, exitOK, r.code, r.out)
	require.Contains(t, r.out, "warn  store          Redis' maxmemory-policy is allkeys-lru: it can forget events and let repeats through; set noeviction\n")
}
