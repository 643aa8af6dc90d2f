package server_test

import (
	"crypto/rand"
	"crypto/rsa"
	"testing"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/decrypt"
	"awareid-gateway/internal/server"
)

// TestOtherPrivateKeys puts them in force for every webhook, or for none.
func TestOtherPrivateKeys(t *testing.T) {
	var keys [2]*rsa.PrivateKey
	for i := range keys {
		var err error
		keys[i], err = rsa.GenerateKey(rand.Reader, 2048)
		require.NoError(t, err)
	}
	names := []string{"one", "two"}
	g := newBackend(t).serve(t, func(s *setUp) {
		for _, name := range names {
			opener, err := decrypt.New(decrypt.Options{Secrets: []string{secret}, PrivateKeys: keys[:1]})
			require.NoError(t, err)
			one := s.hook
			one.Name, one.Opener = name, opener
			s.Webhooks = append(s.Webhooks, one)
		}
	})
	requireOpens := func(key *rsa.PrivateKey, want int) {
		t.Helper()
		g.scheme.PublicKey = &key.PublicKey
		for _, name := range names {
			_, event := newEvent()
			header, body := sealed(t, g.scheme, event)
			require.Equal(t, want, g.exchange(t, post(server.Path+"/"+name, header, body)).status, name)
		}
	}
	const opened, quarantined = 200, 202
	requireOpens(keys[0], opened)
	requireOpens(keys[1], quarantined)

	small := &rsa.PrivateKey{PublicKey: rsa.PublicKey{N: keys[0].Primes[0]}}
	for _, refused := range [][]*rsa.PrivateKey{{small}, {keys[1], small}} {
		require.Error(t, g.SetPrivateKeys(refused))
		requireOpens(keys[0], opened)
		requireOpens(keys[1], quarantined)
	}
	require.NoError(t, g.SetPrivateKeys([]*rsa.PrivateKey{keys[1], keys[0]}))
	requireOpens(keys[0], opened)
	requireOpens(keys[1], opened)
}

func TestOtherAuthHeader(t *testing.T) {
	g := newBackend(t).serve(t)
	post := func(value string) int {
		g.scheme.AuthHeaderValue = value
		return g.exchange(t, g.valid(t)).status
	}
	const next = "canary-next-value"
	require.Equal(t, 401, post(next))
	require.NoError(t, g.SetAuthHeaderValue(webhookID, next+"\n"+authValue))
	require.Equal(t, 200, post(next))
	require.Equal(t, 200, post(authValue))
	require.NoError(t, g.SetSecrets(webhookID, rotated))
	require.Equal(t, 200, post(next), "secrets change beside it")
	require.NoError(t, g.SetAuthHeaderValue(webhookID, next))
	require.Equal(t, 401, post(authValue))
	require.Error(t, g.SetAuthHeaderValue(webhookID, ""))
	require.Error(t, g.SetAuthHeaderValue("another", next))
	require.Equal(t, 200, post(next))

	open := newBackend(t).serve(t, func(s *setUp) { s.hook.AuthHeaderKey, s.hook.AuthHeaderValue = "", "" })
	require.Error(t, open.SetAuthHeaderValue(webhookID, next), "a header cannot begin to be asked for")
}
