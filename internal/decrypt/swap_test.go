package decrypt_test

import (
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
