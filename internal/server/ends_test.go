package server_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/decrypt"
)

// TestASecretEndsWhileTheGatewayRuns, at the instant that is configured. What came
// sealed with it before still opens then.
func TestASecretEndsWhileTheGatewayRuns(t *testing.T) {
	var clock atomic.Int64
	clock.Store(now.Add(-1).UnixNano())
	b := newBackend(t)
	g := b.serve(t, func(s *setUp) { s.Now = func() time.Time { return time.Unix(0, clock.Load()) } })
	current, ended := g.scheme, g.scheme
	ended.Secret = nextSecret // whose end is now
	status := func() int {
		_, event := newEvent()
		header, body := sealed(t, ended, event)
		return g.exchange(t, post("/webhooks/awareid", header, body)).status
	}
	require.Equal(t, 200, status(), "a nanosecond before")
	clock.Store(now.UnixNano())
	require.Equal(t, 401, status(), "at the instant")
	clock.Store(now.Add(time.Hour).UnixNano())
	require.Equal(t, 401, status())
	_, event := newEvent()
	header, body := sealed(t, current, event)
	require.Equal(t, 200, g.exchange(t, post("/webhooks/awareid", header, body)).status)

	opener, err := decrypt.New(decrypt.Options{Secrets: []string{secret, nextSecret}})
	require.NoError(t, err)
	_, body = sealed(t, ended, event)
	opened, err := opener.Open(body, decrypt.NoSecret)
	require.NoError(t, err)
	require.Equal(t, event, opened.Plaintext)
}
