package server_test

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/decrypt"
	"awareid-gateway/internal/event"
	"awareid-gateway/internal/simulator"
	"awareid-gateway/internal/verify"
)

// BenchmarkPath is what happens to the bytes of an encrypted callback: verify,
// decrypt, parse. Beside it is what that cannot do without: SHA-256 of the body,
// the base64 of its ciphertext, and AES-GCM.
func BenchmarkPath(b *testing.B) {
	for _, size := range []int{1 << 10, 16 << 10, 256 << 10} {
		g, err := simulator.NewGenerator(simulator.GeneratorOptions{Seed: 1, Size: size})
		require.NoError(b, err)
		e, err := g.Next()
		require.NoError(b, err)
		body, header, err := simulator.Scheme{Secret: secret}.Seal(e.Body)
		require.NoError(b, err)
		b.Run(fmt.Sprintf("%dKiB/ours", size>>10), func(b *testing.B) { benchmarkOurs(b, body, header) })
		b.Run(fmt.Sprintf("%dKiB/primitives", size>>10), func(b *testing.B) { benchmarkPrimitives(b, body) })
	}
}

func benchmarkOurs(b *testing.B, body []byte, header http.Header) {
	verifier, err := verify.New(verify.Options{Secrets: []verify.Secret{{Value: secret}}})
	require.NoError(b, err)
	opener, err := decrypt.New(decrypt.Options{Secrets: []string{secret}})
	require.NoError(b, err)
	var names, values [][]byte
	for name, value := range header {
		names, values = append(names, []byte(name)), append(values, []byte(value[0]))
	}
	var headers verify.Headers = func(yield func(name, value []byte) bool) {
		for i := range names {
			if !yield(names[i], values[i]) {
				return
			}
		}
	}
	b.ReportAllocs()
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		match, err := verifier.Verify(headers, body)
		if err != nil {
			b.Fatal(err)
		}
		opened, err := opener.Open(body, match.Secret)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := event.Parse(opened.Plaintext); err != nil {
			b.Fatal(err)
		}
	}
}

func benchmarkPrimitives(b *testing.B, body []byte) {
	var sealed struct{ IV, P []byte }
	require.NoError(b, json.Unmarshal(body, &sealed))
	encoded := base64.StdEncoding.AppendEncode(nil, sealed.P)
	key, err := base64.StdEncoding.DecodeString(secret)
	require.NoError(b, err)
	block, err := aes.NewCipher(key)
	require.NoError(b, err)
	gcm, err := cipher.NewGCM(block)
	require.NoError(b, err)
	mac, sum := hmac.New(sha256.New, key), make([]byte, 0, sha256.Size)
	buffer := make([]byte, base64.StdEncoding.DecodedLen(len(encoded)))
	b.ReportAllocs()
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		mac.Reset()
		mac.Write(body)
		sum = mac.Sum(sum[:0])
		n, err := base64.StdEncoding.Decode(buffer, encoded)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := gcm.Open(buffer[:0], sealed.IV, buffer[:n], nil); err != nil {
			b.Fatal(err)
		}
	}
}
