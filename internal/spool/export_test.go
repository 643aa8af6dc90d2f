package spool

import (
	"context"
	"io"
	"os"
)

const (
	HeaderSize = headerSize
	FrameSize  = frameSize
)

// OpenOn opens a spool on a disk of the test's own.
func OpenOn(put func(file *os.File, b []byte, offset int64) error, dir string, opts Options) (*Log, error) {
	return open(dir, opts, put)
}

// Put is the disk that Open uses.
func Put(file *os.File, b []byte, offset int64) error { return putSynced(file, b, offset) }

// AppendGroup appends bodies as callers do that share one sync.
func (l *Log) AppendGroup(bodies ...[]byte) (outcomes []error, err error) {
	out, err := l.write(context.Background(), bodies)
	for _, a := range out {
		outcomes = append(outcomes, a.err)
	}
	return outcomes, err
}

func Frame(body []byte) []byte { return appendFrame(nil, body) }
func Mark(offset int64) []byte { return mark(offset) }

// ReadFrame returns what is at an offset: the body of a whole frame, whether it
// is a mark, or neither.
func ReadFrame(file io.ReaderAt, offset, end int64) (body []byte, isMark bool, err error) {
	body, state, err := readFrame(file, offset, end)
	return body, state == frameMark, err
}

// Header is the front of an unsealed segment.
func Header(number, first uint64, prevSize int64) []byte {
	return header{number: number, first: first, prevSize: prevSize}.encode()
}
