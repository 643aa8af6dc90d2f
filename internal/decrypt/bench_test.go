package decrypt_test

import (
	"bytes"
	"crypto/cipher"
	"encoding/base64"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

// BenchmarkOpen opens an envelope under the secret that is tried first. Beside
// it is what it cannot do without: to read the base64 and to decrypt.
func BenchmarkOpen(b *testing.B) {
	for _, size := range []int{1 << 10, 16 << 10, 256 << 10} {
		plaintext := fmt.Appendf(nil, `{"image":%q}`, bytes.Repeat([]byte("a"), size-len(`{"image":""}`)))
		gcm, cbc := sealGCM(b, aesKey(b, current), iv12, plaintext), sealCBC(aesKey(b, current), iv16, plaintext)
		name := func(cipher, whose string) string { return fmt.Sprintf("%s/%dKiB/%s", cipher, size>>10, whose) }
		b.Run(name("gcm", "ours"), func(b *testing.B) { benchmarkOpen(b, envelope(nil, iv12, gcm), size) })
		b.Run(name("gcm", "primitives"), func(b *testing.B) { benchmarkGCM(b, gcm, size) })
		b.Run(name("cbc", "ours"), func(b *testing.B) { benchmarkOpen(b, envelope(nil, iv16, cbc), size) })
		b.Run(name("cbc", "primitives"), func(b *testing.B) { benchmarkCBC(b, cbc, size) })
		b.Run(name("plain", "ours"), func(b *testing.B) { benchmarkOpen(b, plaintext, size) })
	}
}

func benchmarkOpen(b *testing.B, body []byte, size int) {
	o := newOpener(b, current, previous)
	b.ReportAllocs()
	b.SetBytes(int64(size))
	for b.Loop() {
		if _, err := o.Open(body, 0); err != nil {
			b.Fatal(err)
		}
	}
}

func benchmarkGCM(b *testing.B, text []byte, size int) {
	gcm, err := cipher.NewGCM(aesKey(b, current))
	require.NoError(b, err)
	benchmarkCipher(b, text, size, func(ciphertext []byte) error {
		_, err := gcm.Open(ciphertext[:0], iv12, ciphertext, nil)
		return err
	})
}

func benchmarkCBC(b *testing.B, text []byte, size int) {
	block := aesKey(b, current)
	benchmarkCipher(b, text, size, func(ciphertext []byte) error {
		cipher.NewCBCDecrypter(block, iv16).CryptBlocks(ciphertext, ciphertext)
		return nil
	})
}

func benchmarkCipher(b *testing.B, text []byte, size int, open func(ciphertext []byte) error) {
	encoded := base64.StdEncoding.AppendEncode(nil, text)
	buffer := make([]byte, base64.StdEncoding.DecodedLen(len(encoded)))
	b.ReportAllocs()
	b.SetBytes(int64(size))
	for b.Loop() {
		n, err := base64.StdEncoding.Decode(buffer, encoded)
		if err != nil {
			b.Fatal(err)
		}
		if err := open(buffer[:n]); err != nil {
			b.Fatal(err)
		}
	}
}
