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
// first of the spool; entries that are done by then are passed over. It waits
// for one until the context ends. Each entry goes to one caller. It returns
// ErrClosed, the context's error, a *CorruptError for damage since Open, or an
// error of the file system; after the last two it stays where it is.
func (l *Log) Next(ctx context.Context) (Entry, error) {
	for {
		if err := ctx.Err(); err != nil {
			return Entry{}, err
		}
		e, arrived, err := l.take()
		if err != nil || arrived == nil {
			return e, err
		}
		select {
		case <-ctx.Done():
		case <-arrived:
		}
	}
}

// take returns the next entry, or, where there is none, what to wait for. It
// keeps the lock, so that no file is closed while it is read.
func (l *Log) take() (Entry, <-chan struct{}, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return Entry{}, nil, ErrClosed
	}
	for l.seek() {
		e, err := l.read()
		if err != nil {
			return Entry{}, nil, err
		}
		if !l.isDone(e.Sequence) {
			return e, nil, nil
		}
	}
	return Entry{}, l.arrived, nil
}

// seek moves the cursor to the segment of its entry, if that is written. What
// was deleted ahead of the cursor is passed over.
func (l *Log) seek() bool {
	c := &l.cursor
	if len(l.segments) == 0 {
		c.sequence = l.next
		return false
	}
	c.sequence = max(c.sequence, l.segments[0].first)
	if c.sequence == l.next {
		return false
	}
	i := len(l.segments) - 1
	for l.segments[i].first > c.sequence {
		i--
	}
	if c.segment != l.segments[i] {
		c.segment, c.offset = l.segments[i], headerSize
	}
	return true
}

// read returns the entry at the cursor.
func (l *Log) read() (Entry, error) {
	c := &l.cursor
	body, state, err := readFrame(c.segment.file, c.offset, c.segment.size)
	for ; state == frameMark; body, state, err = readFrame(c.segment.file, c.offset, c.segment.size) {
		c.offset += frameSize
	}
	switch {
	case err != nil:
		return Entry{}, fmt.Errorf("read the spool: %w", err)
	case state != frameWhole:
		return Entry{}, damaged(c.segment, c.offset)
	}
	plain, err := c.segment.sealer.open(body, c.sequence)
	if err != nil {
		return Entry{}, damaged(c.segment, c.offset)
	}
	e := Entry{Sequence: c.sequence, Body: plain}
	c.offset += frameSize + int64(len(body))
	c.sequence++
	return e, nil
}
