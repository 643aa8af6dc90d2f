package server_test

import (
	"crypto/rand"
	"crypto/rsa"
	"testing"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/decrypt"
)

func TestOtherPrivateKeys(t *testing.T) {
	var keys [2]*rsa.PrivateKey
	for i := range keys {
		var err error
		keys[i], err = rsa.GenerateKey(rand.Reader, 2048)
		require.NoError(t, err)
	}
	g := newBackend(t).serve(t, func(s *setUp) {
		var err error
		s.hook.Opener, err = decrypt.New(decrypt.Options{Secrets: []string{secret}, PrivateKeys: keys[:1]})
		require.NoError(t, err)
	})
	post := func(key *rsa.PrivateKey) int {
		g.scheme.PublicKey = &key.PublicKey
		return g.exchange(t, g.valid(t)).status
	}
	require.Equal(t, 200, post(keys[0]))
	require.Equal(t, 202, post(keys[1]), "in quarantine")
	require.NoError(t, g.SetPrivateKeys([]*rsa.PrivateKey{keys[1], keys[0]}))
	require.Equal(t, 200, post(keys[0]))
	require.Equal(t, 200, post(keys[1]))

	small := &rsa.PrivateKey{PublicKey: rsa.PublicKey{N: keys[0].Primes[0]}}
	require.Error(t, g.SetPrivateKeys([]*rsa.PrivateKey{small}))
	require.Equal(t, 200, post(keys[1]), "those of before stay")
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
