package decrypt_test

import (
	"bytes"
	"crypto/cipher"
	"testing"

	"github.com/stretchr/testify/require"
)

// BenchmarkOpen is the usual path: an envelope around 1 KiB, GCM with a 12-byte
// iv, under the secret that is tried first.
func BenchmarkOpen(b *testing.B) {
	plaintext := bytes.Repeat([]byte("a"), 1024)
	body := envelope(nil, iv12, sealGCM(b, aesKey(b, current), iv12, plaintext))
	o := newOpener(b, current, previous)
	b.ReportAllocs()
	b.SetBytes(int64(len(plaintext)))
	for b.Loop() {
		if _, err := o.Open(body, 0); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkPrimitive is the decryption that BenchmarkOpen cannot do without.
func BenchmarkPrimitive(b *testing.B) {
	text := sealGCM(b, aesKey(b, current), iv12, bytes.Repeat([]byte("a"), 1024))
	gcm, err := cipher.NewGCM(aesKey(b, current))
	require.NoError(b, err)
	dst := make([]byte, 0, len(text))
	b.ReportAllocs()
	b.SetBytes(1024)
	for b.Loop() {
		if _, err := gcm.Open(dst, iv12, text, nil); err != nil {
			b.Fatal(err)
		}
	}
}
