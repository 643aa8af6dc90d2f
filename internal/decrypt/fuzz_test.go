package decrypt_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/decrypt"
)

// FuzzEnvelope opens any body. One that comes back as it is must be no
// envelope, which encoding/json is asked for; one that opens must hold what was
// sealed, as nothing else can be made without the key.
func FuzzEnvelope(f *testing.F) {
	files, err := filepath.Glob("testdata/*.json")
	require.NoError(f, err)
	require.Len(f, files, 8)
	for _, file := range files {
		body, err := os.ReadFile(file)
		require.NoError(f, err)
		f.Add(body)
	}
	f.Add(read(f, "bare-gcm.txt"))
	f.Add(read(f, "bare-cbc.txt"))
	f.Add([]byte(`{"key":null,"iv":"\u0061\/","p":"a-_\n"}`))
	f.Add([]byte(`{"iv":[],"p":{"p":1},"p":null}`))
	sealed, plaintext := testOpener(f), read(f, "event.json")

	f.Fuzz(func(t *testing.T, body []byte) {
		before := bytes.Clone(body)
		opened, err := sealed.Open(body, 0)
		require.Equal(t, before, body)
		authentic, errAuthentic := sealed.OpenAuthenticated(body, nil)
		switch {
		case err != nil:
			require.Equal(t, decrypt.ErrDecrypt, err)
			require.Equal(t, decrypt.ErrDecrypt, errAuthentic)
		case !opened.Sealed:
			require.Equal(t, body, opened.Plaintext)
			require.False(t, isEnvelope(body))
			require.Equal(t, decrypt.ErrDecrypt, errAuthentic)
		case errAuthentic == nil:
			require.Equal(t, plaintext, opened.Plaintext)
			require.Equal(t, plaintext, authentic.Plaintext)
		}
	})
}

// isEnvelope reports whether body has the members of an envelope and no others,
// each a string, with a reader that is not the one under test.
func isEnvelope(body []byte) bool {
	var members map[string]any
	if json.Unmarshal(body, &members) != nil {
		return false
	}
	_, iv := members["iv"].(string)
	_, p := members["p"].(string)
	for name := range members {
		if !slices.Contains([]string{"key", "iv", "p"}, name) {
			return false
		}
	}
	return iv && p
}

// FuzzSealOpen seals any plaintext, which must come back, and changes a byte of
// the ciphertext, which must never open.
func FuzzSealOpen(f *testing.F) {
	f.Add(event, uint16(0), byte(1), false)
	f.Add([]byte{}, uint16(3), byte(0x80), true)
	f.Add(bytes.Repeat([]byte("x"), 1024), uint16(1030), byte(0xff), true)
	o := newOpener(f, previous, current)
	block := aesKey(f, current)

	f.Fuzz(func(t *testing.T, plaintext []byte, at uint16, change byte, bare bool) {
		text := sealGCM(t, block, iv12, plaintext)
		body := func() []byte {
			if bare {
				return []byte(base64.RawURLEncoding.EncodeToString(append(bytes.Clone(iv12), text...)))
			}
			return envelope(nil, iv12, text)
		}
		opened, err := o.Open(body(), decrypt.NoSecret)
		require.NoError(t, err)
		require.True(t, bytes.Equal(plaintext, opened.Plaintext))
		if change == 0 {
			return
		}
		text[int(at)%len(text)] ^= change
		_, err = o.Open(body(), decrypt.NoSecret)
		require.Equal(t, decrypt.ErrDecrypt, err)
	})
}
