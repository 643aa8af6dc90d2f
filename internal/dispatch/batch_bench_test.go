package dispatch_test

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/dispatch"
	"awareid-gateway/internal/event"
)

// BenchmarkEncodeBatch encodes records of 1 KiB. Beside it is what it cannot do
// without: to copy every byte once, and to take the CRC of it.
func BenchmarkEncodeBatch(b *testing.B) {
	e, err := event.Parse([]byte(`{"id":"b6ea6be6-5e11-4946-9dc2-d41db57c5171","created":"2026-02-16T14:33:11.889-0500","type":"enrollment.started","operationToken":"9336b7b9-6a37-4aca-91b0-10b929e5c340"}`))
	require.NoError(b, err)
	record := dispatch.Record{
		Key: e.OperationToken, Value: bytes.Repeat([]byte("a"), 1<<10), Headers: e.Headers("0123456789abcdef0123456789abcdef"),
	}
	for _, n := range []int{1, 16, 256} {
		records := make([]dispatch.Record, n)
		for i := range records {
			records[i] = record
		}
		now := time.Now()
		encoded := dispatch.EncodeBatch(records, dispatch.Session{}, now)
		b.Run(fmt.Sprintf("%d/ours", n), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(encoded)))
			for b.Loop() {
				dispatch.EncodeBatch(records, dispatch.Session{}, now)
			}
		})
		b.Run(fmt.Sprintf("%d/primitives", n), func(b *testing.B) {
			castagnoli, buffer := crc32.MakeTable(crc32.Castagnoli), make([]byte, len(encoded))
			b.ReportAllocs()
			b.SetBytes(int64(len(encoded)))
			for b.Loop() {
				copy(buffer, encoded)
				crc32.Checksum(buffer, castagnoli)
			}
		})
	}
}
