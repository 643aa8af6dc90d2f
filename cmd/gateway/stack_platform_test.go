package main

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/awareid"
	"awareid-gateway/internal/server"
	"awareid-gateway/internal/simulator"
)

// standIn is a platform over HTTP.
type standIn struct {
	*simulator.Platform
	url string
}

// newStandIn serves a platform, behind what a test puts in front of it.
func newStandIn(t *testing.T, front func(http.Handler) http.Handler) *standIn {
	t.Helper()
	platform, err := simulator.NewPlatform(simulator.PlatformOptions{
		Customer: "acme", ClientID: "client", ClientSecret: "hunter2-client", APIKey: "hunter2-key",
	})
	require.NoError(t, err)
	handler := http.Handler(platform)
	if front != nil {
		handler = front(platform)
	}
	web := httptest.NewServer(handler)
	t.Cleanup(web.Close)
	return &standIn{platform, web.URL}
}

// environ configures how the platform is called.
func (p *standIn) environ(more ...string) []string {
	return append([]string{
		"AWAREID_BASE_URL=" + p.url, "AWAREID_CUSTOMER=acme", "AWAREID_CLIENT_ID=client",
		"AWAREID_CLIENT_SECRET=hunter2-client", "AWAREID_API_KEY=hunter2-key",
	}, more...)
}

// know registers the webhook of a stack.
func (p *standIn) know(t *testing.T, s *stack) {
	t.Helper()
	hook := s.hook
	hook.URL, hook.EncryptMessageBody, hook.AddSignatureHeader = "https://events.example.com"+server.Path, true, true
	_, err := p.Register(hook)
	require.NoError(t, err)
}

// scheme is how the platform seals callbacks of a webhook just now.
func (p *standIn) scheme(t *testing.T, id string) simulator.Scheme {
	t.Helper()
	hook, err := p.Webhook(id)
	require.NoError(t, err)
	return p.SchemeOf(hook)
}

// newSecret makes the platform use another secret, and tells no gateway.
func (p *standIn) newSecret(t *testing.T, id string) string {
	t.Helper()
	client, err := openPlatform(streams{environ: p.environ()})
	require.NoError(t, err)
	defer client.Close()
	secret, err := client.Rotate(t.Context(), awareid.Webhook{ID: id})
	require.NoError(t, err)
	return secret.Reveal()
}
