package dispatch_test

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"

	"awareid-gateway/internal/dispatch"
	"awareid-gateway/internal/event"
)

// decodeBatch reads what a produce request carries with another decoder. The
// CRC is over everything behind it.
func decodeBatch(t testing.TB, encoded []byte) (kmsg.RecordBatch, []kmsg.Record) {
	var batch kmsg.RecordBatch
	require.NoError(t, batch.ReadFrom(encoded))
	require.EqualValues(t, len(encoded)-8-4, batch.Length)
	const behindCRC = 8 + 4 + 4 + 1 + 4
	require.Equal(t, crc32.Checksum(encoded[behindCRC:], crc32.MakeTable(crc32.Castagnoli)), uint32(batch.CRC))

	var records []kmsg.Record
	for rest := batch.Records; len(rest) > 0; {
		length, n := binary.Varint(rest)
		require.Positive(t, n)
		size := n + int(length)
		require.LessOrEqual(t, size, len(rest))
		var r kmsg.Record
		require.NoError(t, r.ReadFrom(rest[:size]))
		require.EqualValues(t, length, r.Length)
		records, rest = append(records, r), rest[size:]
	}
	return batch, records
}

// requireDecodes wants that encoding and decoding is identity.
func requireDecodes(t testing.TB, records []dispatch.Record, s dispatch.Session, now time.Time) {
	framed := dispatch.EncodeBatch(records, s, now)
	require.EqualValues(t, len(framed)-4, binary.BigEndian.Uint32(framed), "the length ahead of the batch")
	batch, decoded := decodeBatch(t, framed[4:])

	require.Zero(t, batch.FirstOffset)
	require.EqualValues(t, -1, batch.PartitionLeaderEpoch)
	require.EqualValues(t, 2, batch.Magic)
	require.Zero(t, batch.Attributes)
	require.EqualValues(t, len(records)-1, batch.LastOffsetDelta)
	require.Equal(t, now.UnixMilli(), batch.FirstTimestamp)
	require.Equal(t, now.UnixMilli(), batch.MaxTimestamp)
	require.Equal(t, s, dispatch.Session{ID: batch.ProducerID, Epoch: batch.ProducerEpoch, Sequence: batch.FirstSequence})
	require.EqualValues(t, len(records), batch.NumRecords)

	require.Len(t, decoded, len(records))
	bound := dispatch.BatchOverhead
	for i, want := range records {
		got := decoded[i]
		require.Zero(t, got.Attributes)
		require.Zero(t, got.TimestampDelta64)
		require.EqualValues(t, i, got.OffsetDelta)
		require.Equal(t, want.Key, string(got.Key))
		require.True(t, bytes.Equal(want.Value, got.Value))
		require.Len(t, got.Headers, len(want.Headers))
		for j, h := range want.Headers {
			require.Equal(t, h.Key, got.Headers[j].Key)
			require.True(t, bytes.Equal(h.Value, got.Headers[j].Value))
		}
		require.LessOrEqual(t, recordSize(got), want.MaxSize())
		bound += want.MaxSize()
	}
	require.LessOrEqual(t, len(framed)-4, bound, "a lane cuts its batches by this")
}

// recordSize is the length of a record with the length in front of it.
func recordSize(r kmsg.Record) int {
	return len(binary.AppendVarint(nil, int64(r.Length))) + int(r.Length)
}

func FuzzEncodeBatch(f *testing.F) {
	f.Add(1, "operation", []byte(`{"id":"1"}`), "ce_id", []byte("1"), 1, int64(7), int16(0), int32(0), int64(1_700_000_000_000))
	f.Add(3, "", []byte(nil), "", []byte(nil), 0, int64(math.MaxInt64), int16(math.MaxInt16), int32(math.MaxInt32), int64(0))
	f.Add(200, "k", bytes.Repeat([]byte{0xff}, 70), "h", bytes.Repeat([]byte("x"), 64), 9, int64(0), int16(1), int32(1), int64(1))
	f.Add(2, "k", bytes.Repeat([]byte("v"), 8192), "h", []byte{0}, 64, int64(1), int16(2), int32(3), int64(4))
	f.Fuzz(func(t *testing.T, n int, key string, value []byte, name string, header []byte, headers int, id int64, epoch int16, sequence int32, millis int64) {
		n, headers = 1+abs(n)%300, abs(headers)%70
		records := make([]dispatch.Record, n)
		for i := range records {
			records[i] = dispatch.Record{Key: key[:len(key)*i/n], Value: value[:len(value)*(n-i)/n]}
			for range headers * (n - i) / n {
				records[i].Headers = append(records[i].Headers, event.Header{Key: name, Value: header})
			}
		}
		requireDecodes(t, records, dispatch.Session{ID: id, Epoch: epoch, Sequence: sequence}, time.UnixMilli(millis))
	})
}

func abs(n int) int { return int(uint(n) >> 1) }

// TestEncodeBatchAtTheBoundsOfItsLengths has values whose lengths need one
// byte more than those before.
func TestEncodeBatchAtTheBoundsOfItsLengths(t *testing.T) {
	for _, n := range []int{0, 1, 63, 64, 8191, 8192, 1<<20 - 1, 1 << 20} {
		long := bytes.Repeat([]byte("x"), n)
		requireDecodes(t, []dispatch.Record{
			{Key: string(long), Value: long, Headers: []event.Header{{Key: string(long), Value: long}}},
			{Value: long},
		}, dispatch.Session{}, time.Now())
	}
}

func TestALargeBatch(t *testing.T) {
	records := make([]dispatch.Record, 9000) // the offset deltas pass 63 and 8191
	for i := range records {
		records[i].Value = []byte{byte(i)}
	}
	requireDecodes(t, records, dispatch.Session{Sequence: math.MaxInt32}, time.Now())
}

func TestSequencesWrapAfterTheLargest(t *testing.T) {
	for _, tc := range []struct {
		sequence int32
		records  int
		want     int32
	}{
		{0, 1, 1},
		{41, 9000, 9041},
		{math.MaxInt32 - 1, 1, math.MaxInt32},
		{math.MaxInt32, 1, 0},
		{math.MaxInt32 - 1, 3, 1},
		{math.MaxInt32, 9000, 8999},
	} {
		require.Equal(t, tc.want, dispatch.NextSequence(tc.sequence, tc.records))
	}
}
