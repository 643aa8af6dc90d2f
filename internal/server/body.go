package server

import (
	"errors"
	"io"
	"os"
	"runtime"
	"strings"
	"sync/atomic"

	"github.com/valyala/fasthttp"
)

// budget bounds what there is at once: bytes of all bodies in memory, requests
// at work. Bytes count from when they arrive, not from when they are announced:
// what is announced costs the sender nothing.
type budget struct {
	limit int64
	used  atomic.Int64
}

// take is false, and takes nothing, where n more would leave less than a reserve
// of the limit.
func (b *budget) take(n, reserve int64) bool {
	if b.used.Add(n) > b.limit-reserve {
		b.used.Add(-n)
		return false
	}
	return true
}

func (b *budget) give(n int64) { b.used.Add(-n) }

// retake takes what was given for a while, even past the limit.
func (b *budget) retake(n int64) { b.used.Add(n) }

// smallBody is the size up to which a body may take of the last half of the
// budget. A few large ones that stall, which cost their sender little, would
// otherwise leave no room for callbacks, which are small.
const smallBody = 16 << 10

// turn is how much of a body is read, or judged, before others have their turn: who
// waits for a small one would else wait for all large ones that are there.
const turn = 64 << 10

// firstRead is what a body is given room for before any of it has arrived,
// whatever length it announces.
const firstRead = 4 << 10

// readBody reads a body of announced bytes, or of unknown length where that is
// negative, up to the limit. It takes the memory that it is given where that is enough to
// begin with, else new memory; either counts against the budget until the caller gives
// back as many bytes as the slice has capacity.
func readBody(r io.Reader, memory []byte, announced, limit int, b *budget) ([]byte, error) {
	if announced > limit {
		return nil, errTooLarge
	}
	most := limit + 1 // one more than allowed tells too much from just enough
	if announced >= 0 {
		most = announced
	}
	reserve := max(0, min(b.limit/2, b.limit-2*int64(limit))) // a body that grows is there twice
	body, ok := memory[:0], false
	if first := min(firstRead, most); cap(memory) >= first && cap(memory) > 0 {
		ok = b.take(int64(cap(memory)), 0) // it is small
	} else {
		body, ok = b.grow(nil, first, reserve)
	}
	if !ok {
		return nil, errBudget
	}
	for {
		if len(body) == cap(body) {
			larger, ok := b.grow(body, min(2*cap(body), most), reserve)
			if !ok {
				b.give(int64(cap(body)))
				return nil, errBudget
			}
			body = larger
		}
		n, err := r.Read(body[len(body):min(cap(body), len(body)+turn)])
		body = body[:len(body)+n]
		switch {
		case len(body) > limit:
			err = errTooLarge
		case len(body) == announced, err == io.EOF && announced < 0:
			return body, nil
		case err == io.EOF:
			err = errCut
		}
		if err != nil {
			b.give(int64(cap(body)))
			return nil, readProblem(err)
		}
		if len(body) > turn {
			runtime.Gosched()
		}
	}
}

// grow moves body to memory of a capacity that the budget has room for, beside a
// reserve for small ones.
func (b *budget) grow(body []byte, capacity int, reserve int64) ([]byte, bool) {
	if capacity <= smallBody {
		reserve = 0
	}
	if !b.take(int64(capacity), reserve) {
		return nil, false
	}
	larger := make([]byte, len(body), capacity)
	copy(larger, body)
	b.give(int64(cap(body)))
	return larger, true
}

func readProblem(err error) error {
	var p *problem
	switch {
	case errors.As(err, &p):
		return p
	case isTimeout(err):
		return errSlow
	}
	return errCut
}

// isTimeout knows the three ways in which a body's stream says so. The last is
// fasthttp.ErrBrokenChunk's, which hides what it wraps, but not its words.
func isTimeout(err error) bool {
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, fasthttp.ErrTimeout) ||
		strings.HasSuffix(err.Error(), os.ErrDeadlineExceeded.Error())
}
