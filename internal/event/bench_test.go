package event_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"awareid-gateway/internal/event"
)

// BenchmarkParse is an event with an image in it. Beside it is the one look at
// every byte that says whether it is JSON in UTF-8.
func BenchmarkParse(b *testing.B) {
	for _, size := range []int{1 << 10, 16 << 10, 256 << 10} {
		payload := sampleOf(size)
		b.Run(fmt.Sprintf("%dKiB/ours", size>>10), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(size))
			for b.Loop() {
				if _, err := event.Parse(payload); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("%dKiB/primitives", size>>10), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(size))
			for b.Loop() {
				if !jsontext.Value(payload).IsValid(jsontext.AllowDuplicateNames(true)) {
					b.Fatal("no JSON")
				}
			}
		})
	}
}

// sampleOf is the sample, padded to a size by an image in its data.
func sampleOf(size int) []byte {
	const before, after = `"transactionNum": 17`, `, "image": ""`
	image := bytes.Repeat([]byte("a"), size-len(sample)-len(after))
	return bytes.Replace([]byte(sample), []byte(before), fmt.Appendf(nil, `%s, "image": "%s"`, before, image), 1)
}

// BenchmarkHeaders is what a record says of its event.
func BenchmarkHeaders(b *testing.B) {
	e, err := event.Parse([]byte(sample))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		e.Headers("0123456789abcdef0123456789abcdef")
	}
}
