package server_test

import (
	"crypto/rand"
	"crypto/rsa"
	"testing"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/decrypt"
	"awareid-gateway/internal/server"
	"awareid-gateway/internal/simulator"
)

// TestWhatProvesAnEventAuthentic where it is not the MAC over the body: only an
// authenticated cipher under a secret that has not ended, and all else is the
// same 401.
func TestWhatProvesAnEventAuthentic(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	opener, err := decrypt.New(decrypt.Options{Secrets: []string{secret, nextSecret}, PrivateKeys: []*rsa.PrivateKey{key}})
	require.NoError(t, err)
	b := newBackend(t)

	plaintext := func(s *simulator.Scheme) { s.Covers = "plaintext" }
	unsigned := func(s *simulator.Scheme) { s.Unsigned = true }
	for _, mode := range []struct {
		name    string
		covers  server.Covers
		usual   func(*simulator.Scheme)
		refused map[string]func(*simulator.Scheme)
	}{
		{"plaintext", server.CoversPlaintext, plaintext, map[string]func(*simulator.Scheme){
			"no signature":            func(s *simulator.Scheme) { s.Unsigned = true },
			"a signature of the body": func(s *simulator.Scheme) { s.Covers = "body" },
			"another auth header":     func(s *simulator.Scheme) { s.AuthHeaderValue = "wrong" },
		}},
		{"nothing", server.CoversNothing, unsigned, map[string]func(*simulator.Scheme){
			"no auth header":      func(s *simulator.Scheme) { s.AuthHeaderKey = "" },
			"another auth header": func(s *simulator.Scheme) { s.AuthHeaderValue = "wrong" },
		}},
	} {
		t.Run(mode.name, func(t *testing.T) {
			g := b.serve(t, func(s *setUp) {
				s.hook.Opener, s.hook.Covers = opener, mode.covers
				s.Limits.RequestsPerWebhook = 5
			})
			try := func(cipher string, event []byte, change func(*simulator.Scheme)) answer {
				s := g.scheme
				mode.usual(&s)
				s.Cipher = cipher
				if change != nil {
					change(&s)
				}
				header, body := sealed(t, s, event)
				return g.exchange(t, post(server.Path, header, body))
			}
			mode.refused["an ended secret"] = func(s *simulator.Scheme) { s.Secret = nextSecret }
			mode.refused["an unknown secret"] = func(s *simulator.Scheme) { s.Secret = "b3RoZXItc2VjcmV0LW9mLTMyLWJ5dGVzLTAwMDAwMDA=" }
			mode.refused["a wrapped key"] = func(s *simulator.Scheme) { s.PublicKey = &key.PublicKey }
			for _, cipher := range []string{"none", "cbc", "bare-cbc"} {
				mode.refused[cipher] = func(s *simulator.Scheme) { s.Cipher = cipher }
			}
			before := b.stored(t)
			for name, change := range mode.refused {
				_, event := newEvent()
				a := try("gcm", event, change)
				require.Empty(t, requireProblem(t, a, 401), name)
				require.Equal(t, `{"type":"about:blank","title":"Unauthorized","status":401}`, a.body, name)
			}
			require.Equal(t, before, b.stored(t))

			for _, cipher := range []string{"gcm", "gcm16", "bare-gcm"} {
				id, event := newEvent()
				requireStatus(t, try(cipher, event, nil), 200, "accepted", id)
				found := having(b.records(t), "awareid.enrollment", "ce_id", id)
				require.Len(t, found, 1)
				require.Equal(t, string(event), string(found[0].Value))
			}
			requireStatus(t, try("gcm", []byte(`{"id":"canary"}`), nil), 202, "quarantined", "")
			_, event := newEvent()
			require.Equal(t, 200, try("gcm", event, nil).status)
			requireProblem(t, try("gcm", event, nil), 429)
			g.requireSilence(t)
			g.eventually(t, "gateway_body_bytes", 0)
		})
	}
}
