package main

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/event"
	"awareid-gateway/internal/simulator"
)

// TestStartWithoutDependencies: with a spool, what comes while Redis or Kafka is
// away is taken, survives a restart, and is delivered once when they are there.
func TestStartWithoutDependencies(t *testing.T) {
	t.Parallel()
	for name, away := range map[string]string{"redis": "REDIS_URL=redis://" + nobody, "kafka": "KAFKA_BROKERS=" + nobody} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStack(t)
			environ := s.environ()
			before := s.ready(t, start(t, append(environ, away, "HTTP_SHUTDOWN_TIMEOUT=5s", "HTTP_REQUEST_TIMEOUT=1s"), "serve"))
			e := newSample("enrollment.completed")
			body, header := seal(t, simulator.Scheme{Secret: s.hook.Secret}, e.body)
			requireAnswer(t, http.StatusAccepted, "spooled", e.id, before.post(t, "", body, header))
			require.Equal(t, exitOK, before.end(t), before.lastWords())
			require.Regexp(t, `the spool is not empty.*"entries":1`, before.err.String())

			after := s.ready(t, start(t, environ, "serve"))
			require.Eventually(t, func() bool {
				return strings.Contains(after.get("/metrics").body, "\ngateway_spool_drained_total 1\n")
			}, patience, 20*time.Millisecond)
			requireAnswer(t, http.StatusOK, "duplicate", e.id, after.post(t, "", body, header))
			requireRecord(t, e, s.hook.ID, s.topic(event.Enrollment), byID(t, s.records(t), e))
		})
	}
}
