package spool

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"os"
)

const (
	magic         = "AWRSPOOL"
	formatVersion = 1
	flagSealed    = 1

	headerSize = 8 + 4 + 4 + 8 + 8 + 8 + keyCheckSize + 4
	frameSize  = 4 + 4 // before the body; also a whole mark

	segmentPrefix = "spool-"
	segmentSuffix = ".seg"
	unbornSuffix  = segmentSuffix + ".new"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// segment is one file.
type segment struct {
	file   *os.File
	sealer sealer // of the key that it was begun with
	number uint64
	first  uint64 // sequence of its first entry
	size   int64  // where its last synced frame ends; a mark follows
}

// mark says that everything written so far was synced. It needs no sync of its
// own, and may fail: the next group begins with it.
func (s *segment) mark() {
	_, _ = s.file.WriteAt(mark(s.size), s.size)
}

// header is the first headerSize bytes of a segment.
type header struct {
	number, first uint64
	prevSize      int64
	sealed        bool
	keyCheck      [keyCheckSize]byte
}

//gosec:disable G115 -- a file's size is not negative
func (h header) encode() []byte {
	b := append(make([]byte, 0, headerSize+frameSize), magic...)
	b = binary.BigEndian.AppendUint32(b, formatVersion)
	var flags uint32
	if h.sealed {
		flags |= flagSealed
	}
	b = binary.BigEndian.AppendUint32(b, flags)
	b = binary.BigEndian.AppendUint64(b, h.number)
	b = binary.BigEndian.AppendUint64(b, h.first)
	b = binary.BigEndian.AppendUint64(b, uint64(h.prevSize))
	b = append(b, h.keyCheck[:]...)
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// readHeader reads the header of a file. Another version is ErrVersion; what
// is no header is a *CorruptError.
func readHeader(file *os.File) (header, error) {
	b := make([]byte, headerSize)
	if _, err := file.ReadAt(b, 0); err == io.EOF {
		return header{}, &CorruptError{file.Name(), 0, "it is shorter than a header"}
	} else if err != nil {
		return header{}, fmt.Errorf("read the spool: %w", err)
	}
	sum := binary.BigEndian.Uint32(b[headerSize-4:])
	switch {
	case !bytes.HasPrefix(b, []byte(magic)):
		return header{}, &CorruptError{file.Name(), 0, "it does not begin like a spool segment"}
	case binary.BigEndian.Uint32(b[8:]) != formatVersion:
		return header{}, fmt.Errorf("%w: %s; drain it with the version that wrote it", ErrVersion, file.Name())
	case crc32.Checksum(b[:headerSize-4], castagnoli) != sum:
		return header{}, &CorruptError{file.Name(), 0, "its header's checksum is wrong"}
	}
	h := header{
		sealed:   binary.BigEndian.Uint32(b[12:])&flagSealed != 0,
		number:   binary.BigEndian.Uint64(b[16:]),
		first:    binary.BigEndian.Uint64(b[24:]),
		prevSize: int64(binary.BigEndian.Uint64(b[32:])), // #nosec G115 -- the checksum held: what encode wrote
	}
	copy(h.keyCheck[:], b[40:])
	return h, nil
}

// frameState is what reading a frame found.
type frameState int

const (
	frameWhole   frameState = iota
	frameMark               // all before it was synced
	frameAbsent             // the file ends where the frame would begin
	frameCut                // the file ends within it
	frameDamaged            // it is there, and wrong
)

// readFrame reads the frame at an offset of a file that ends at end. The body
// is as it was written, still sealed.
func readFrame(file io.ReaderAt, offset, end int64) (body []byte, state frameState, err error) {
	left := end - offset
	switch {
	case left == 0:
		return nil, frameAbsent, nil
	case left < frameSize:
		return nil, frameCut, nil
	}
	var head [frameSize]byte
	if _, err := file.ReadAt(head[:], offset); err != nil {
		return nil, frameDamaged, err
	}
	length := int64(binary.BigEndian.Uint32(head[:]))
	if length == 0 {
		if [frameSize]byte(mark(offset)) == head {
			return nil, frameMark, nil
		}
		return nil, frameDamaged, nil
	}
	if length > left-frameSize {
		return nil, frameCut, nil
	}
	body = make([]byte, length)
	if _, err := file.ReadAt(body, offset+frameSize); err != nil {
		return nil, frameDamaged, err
	}
	if frameSum(head[:4], body) != binary.BigEndian.Uint32(head[4:]) {
		return nil, frameDamaged, nil
	}
	return body, frameWhole, nil
}

//gosec:disable G115 -- a body is far below 4 GiB
func appendFrame(b, body []byte) []byte {
	start := len(b)
	b = binary.BigEndian.AppendUint32(b, uint32(len(body)))
	b = binary.BigEndian.AppendUint32(b, frameSum(b[start:start+4], body))
	return append(b, body...)
}

// mark is what stands at an offset to say that all before it was synced.
//
//gosec:disable G115 -- an offset is not negative
func mark(offset int64) []byte {
	b := make([]byte, 4, frameSize)
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(binary.BigEndian.AppendUint64(nil, uint64(offset)), castagnoli))
}

// noLength is how a mark begins.
var noLength = make([]byte, 4)

func frameSum(length, body []byte) uint32 {
	return crc32.Update(crc32.Checksum(length, castagnoli), castagnoli, body)
}

func damaged(s *segment, offset int64) error {
	return &CorruptError{s.file.Name(), offset, "a frame is not what was written"}
}
