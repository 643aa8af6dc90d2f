package dispatch

import (
	"encoding/binary"
	"hash/crc32"
	"math"
	"math/bits"
	"sync"
	"time"

	"awareid-gateway/internal/event"
)

// The Kafka record batch, message format 2:
// https://kafka.apache.org/documentation/#recordbatch. kafka-go can encode
// one too, but not with a producer id and a sequence.

const (
	batchOverhead   = 61 // bytes of a batch without its records
	batchMagic      = 2
	createTimeAttrs = 0 // no compression, time of creation, no transaction

	// Offsets of fields in an encoded batch.
	lengthAt = 8  // of what follows this field of 4 bytes
	crcAt    = 17 // over what follows this field of 4 bytes
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// encodeBatch returns the entries as one batch, led by its length as the
// produce request wants it. It uses the memory of b where that is enough.
//
//gosec:disable G115 -- sizes are bounded by max.message.bytes; signs are the protocol's
func encodeBatch(b []byte, batch []*entry, s session, now time.Time) []byte {
	size := 4 + batchOverhead
	for _, e := range batch {
		size += e.maxSize()
	}
	if cap(b) < size {
		b = make([]byte, 0, size)
	}
	b = append(b[:0], 0, 0, 0, 0)
	millis := uint64(now.UnixMilli())
	b = binary.BigEndian.AppendUint64(b, 0)              // base offset: the broker's to say
	b = binary.BigEndian.AppendUint32(b, 0)              // length, below
	b = binary.BigEndian.AppendUint32(b, math.MaxUint32) // leader epoch -1: not ours to say
	b = append(b, batchMagic)
	b = binary.BigEndian.AppendUint32(b, 0) // CRC, below
	b = binary.BigEndian.AppendUint16(b, createTimeAttrs)
	b = binary.BigEndian.AppendUint32(b, uint32(len(batch)-1))
	b = binary.BigEndian.AppendUint64(b, millis) // first and last time of creation
	b = binary.BigEndian.AppendUint64(b, millis)
	b = binary.BigEndian.AppendUint64(b, uint64(s.id))
	b = binary.BigEndian.AppendUint16(b, uint16(s.epoch))
	b = binary.BigEndian.AppendUint32(b, uint32(s.sequence))
	b = binary.BigEndian.AppendUint32(b, uint32(len(batch)))
	for i, e := range batch {
		b = e.append(b, i)
	}
	encoded := b[4:]
	binary.BigEndian.PutUint32(b, uint32(len(encoded)))
	binary.BigEndian.PutUint32(encoded[lengthAt:], uint32(len(encoded)-lengthAt-4))
	binary.BigEndian.PutUint32(encoded[crcAt:], crc32.Checksum(encoded[crcAt+4:], castagnoli))
	return b
}

// maxVarint is the longest that a length of int32 gets in zigzag encoding.
const maxVarint = 5

// maxSize is at least the encoded size.
func (e *entry) maxSize() int { return maxVarint + maxVarint + e.size }

// size is what the record takes in a batch, without its length and its place there.
func (r Record) size() int {
	size := 1 + 1 + // attributes, time delta 0
		varintSize(len(r.Key)) + len(r.Key) +
		varintSize(len(r.Value)) + len(r.Value) +
		varintSize(len(r.Headers))
	for _, h := range r.Headers {
		size += headerSize(h)
	}
	return size
}

func headerSize(h event.Header) int {
	return varintSize(len(h.Key)) + len(h.Key) + varintSize(len(h.Value)) + len(h.Value)
}

// varintSize is the length of a number that is not negative: zigzag encoding
// doubles it, and each byte holds 7 bits.
func varintSize(n int) int { return 1 + bits.Len(uint(n))/7 }

func (e *entry) append(b []byte, offsetDelta int) []byte {
	r := &e.record
	b = appendVarint(b, e.size+varintSize(offsetDelta))
	b = append(b, 0)       // attributes
	b = appendVarint(b, 0) // time of creation: the batch's
	b = appendVarint(b, offsetDelta)
	b = appendVarint(b, len(r.Key))
	b = append(b, r.Key...)
	b = appendVarint(b, len(r.Value))
	b = append(b, r.Value...)
	b = appendVarint(b, len(r.Headers))
	for i := range r.Headers {
		h := &r.Headers[i]
		b = appendVarint(b, len(h.Key))
		b = append(b, h.Key...)
		b = appendVarint(b, len(h.Value))
		b = append(b, h.Value...)
	}
	return b
}

func appendVarint(b []byte, n int) []byte {
	if n < 1<<6 { // most are one byte
		return append(b, byte(n<<1)) // #nosec G115 -- just compared
	}
	return binary.AppendVarint(b, int64(n))
}

// nextSequence wraps to 0 after the largest int32, as the broker counts.
func nextSequence(sequence int32, records int) int32 {
	return int32((int64(sequence) + int64(records)) & math.MaxInt32)
}

// batchBuffers are memory for encoded batches. One is given back when nobody
// reads it any more: not where any attempt was without an answer.
type batchBuffers struct{ pool sync.Pool }

var buffers batchBuffers

// largestKept keeps rare large batches from staying in memory.
const largestKept = 64 << 10

func (p *batchBuffers) take() []byte {
	if b, ok := p.pool.Get().(*[]byte); ok {
		return *b
	}
	return nil
}

func (p *batchBuffers) give(b []byte) {
	if cap(b) <= largestKept {
		p.pool.Put(&b)
	}
}
