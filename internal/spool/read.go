package spool

import (
	"context"
	"fmt"
)

// cursor is where Next reads on.
type cursor struct {
	sequence uint64
	segment  *segment
	offset   int64
}

// Next returns the entry behind the one it returned last, and begins with the
// first that is not done. It waits for one until the context ends. It is for
// one reader. It returns ErrClosed, the context's error, a *CorruptError, or
// an error of the file system.
func (l *Log) Next(ctx context.Context) (Entry, error) {
	if err := l.await(ctx); err != nil {
		return Entry{}, err
	}
	c := &l.cursor
	for {
		body, state, err := readFrame(c.segment.file, c.offset, l.end(c.segment))
		switch {
		case err != nil:
			return Entry{}, fmt.Errorf("read the spool: %w", err)
		case state == frameMark:
			c.offset += frameSize
			continue
		case state != frameWhole:
			return Entry{}, &CorruptError{c.segment.file.Name(), c.offset, "a frame is not what was written"}
		}
		plain, err := l.sealer.open(body, c.sequence)
		if err != nil {
			return Entry{}, &CorruptError{c.segment.file.Name(), c.offset, "an entry cannot be opened"}
		}
		e := Entry{Sequence: c.sequence, Body: plain}
		c.offset += frameSize + int64(len(body))
		c.sequence++
		return e, nil
	}
}

// await returns when the cursor stands in a segment that holds its entry.
func (l *Log) await(ctx context.Context) error {
	for {
		l.mu.Lock()
		ready := l.seek()
		closed, arrived := l.closed, l.arrived
		l.mu.Unlock()
		switch {
		case closed:
			return ErrClosed
		case ready:
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-arrived:
		}
	}
}

// seek moves the cursor to the segment of its entry, if that is written.
func (l *Log) seek() bool {
	if l.cursor.sequence >= l.next {
		return false
	}
	for i := len(l.segments) - 1; i >= 0; i-- {
		if s := l.segments[i]; s.first <= l.cursor.sequence {
			if l.cursor.segment != s {
				l.cursor.segment, l.cursor.offset = s, headerSize
			}
			return true
		}
	}
	return false
}

func (l *Log) end(s *segment) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return s.size
}
