package verify_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/verify"
)

// BenchmarkVerify is the usual path: a request with the headers that a load
// balancer passes on, signed as the one before. Beside it is the one MAC that it
// cannot do without.
func BenchmarkVerify(b *testing.B) {
	for _, size := range []int{1 << 10, 16 << 10, 256 << 10} {
		body := bytes.Repeat([]byte("a"), size)
		b.Run(fmt.Sprintf("%dKiB/ours", size>>10), func(b *testing.B) { benchmarkVerify(b, body) })
		b.Run(fmt.Sprintf("%dKiB/primitives", size>>10), func(b *testing.B) { benchmarkMAC(b, body) })
	}
}

func benchmarkVerify(b *testing.B, body []byte) {
	key, err := verify.FormAuto.Key(current)
	require.NoError(b, err)
	v := newVerifier(b, verify.Options{})
	names := [][]byte{[]byte("Host"), []byte("Content-Length"), []byte("Content-Type"), []byte("User-Agent"), []byte("X-Forwarded-For"), []byte("X-Request-Id"), []byte("X-Signature")}
	values := [][]byte{[]byte("gateway.example.org"), []byte("1024"), []byte("application/json"), []byte("Java/17.0.15"), []byte("192.0.2.7, 198.51.100.3"), []byte("b6ea6be6-5e11-4946-9dc2-d41db57c5171"), []byte(hex.EncodeToString(verify.Sign(key, verify.SHA256, body)))}
	var h verify.Headers = func(yield func(name, value []byte) bool) {
		for i := range names {
			if !yield(names[i], values[i]) {
				return
			}
		}
	}
	b.ReportAllocs()
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		if _, err := v.Verify(h, body); err != nil {
			b.Fatal(err)
		}
	}
}

func benchmarkMAC(b *testing.B, body []byte) {
	mac, sum := hmac.New(sha256.New, make([]byte, 32)), make([]byte, 0, sha256.Size)
	b.ReportAllocs()
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		mac.Reset()
		mac.Write(body)
		sum = mac.Sum(sum[:0])
	}
}
