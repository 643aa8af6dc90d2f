package decrypt_test

import (
	"crypto/rand"
	"crypto/rsa"
	"testing"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/decrypt"
)

func TestWithOtherSecrets(t *testing.T) {
	o := testOpener(t)
	sealed := read(t, "envelope-gcm.json")
	opened, err := o.Open(sealed, decrypt.NoSecret)
	require.NoError(t, err)

	next := o.With([]string{"another secret!!", string(read(t, "secret.txt"))})
	again, err := next.Open(sealed, 0)
	require.NoError(t, err)
	require.Equal(t, opened.Plaintext, again.Plaintext)
	require.Equal(t, 1, again.Secret)

	_, err = o.With([]string{"another secret!!"}).Open(sealed, 0)
	require.ErrorIs(t, err, decrypt.ErrDecrypt)
	_, err = o.Open(sealed, 0)
	require.NoError(t, err, "the opener of before is as it was")
}

func TestWithKeepsThePrivateKey(t *testing.T) {
	wrapped := read(t, "envelope-oaep-sha256.json")
	_, err := testOpener(t).With(nil).Open(wrapped, decrypt.NoSecret)
	require.NoError(t, err)
}

func TestWithOtherPrivateKeys(t *testing.T) {
	wrapped := read(t, "envelope-oaep-sha256.json")
	o, other := testOpener(t), rsaKey(t)
	for name, tc := range map[string]struct {
		keys  []*rsa.PrivateKey
		opens bool
	}{
		"old behind new": {[]*rsa.PrivateKey{other, testKey(t)}, true},
		"old first":      {[]*rsa.PrivateKey{testKey(t), other}, true},
		"new alone":      {[]*rsa.PrivateKey{other}, false},
		"none":           {nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			next, err := o.WithPrivateKeys(tc.keys)
			require.NoError(t, err)
			_, err = next.Open(wrapped, decrypt.NoSecret)
			require.Equal(t, tc.opens, err == nil)
			_, err = next.Open(read(t, "envelope-gcm.json"), decrypt.NoSecret)
			require.NoError(t, err, "with the secrets of before")
		})
	}
	_, err := o.WithPrivateKeys([]*rsa.PrivateKey{{PublicKey: rsa.PublicKey{N: testKey(t).Primes[0]}}})
	require.ErrorContains(t, err, "1024 bits")
}

func rsaKey(t *testing.T) *rsa.PrivateKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, testKey(t).N.BitLen()) // as long as the one that wraps
	require.NoError(t, err)
	return key
}
