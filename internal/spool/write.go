package spool

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// maxGroup bounds how many entries share one sync.
const maxGroup = 512

// appended is the outcome of one entry.
type appended struct {
	sequence uint64
	err      error
}

var errEmpty = errors.New("a spool entry cannot be empty")

// write puts a group of entries on disk: one write, one sync. The lock is not
// held while the disk works: one group is written at a time, and readers see
// nothing beyond what is published.
func (l *Log) write(_ context.Context, bodies [][]byte) ([]appended, error) {
	s, first, room, err := l.target()
	if err != nil {
		return nil, err
	}
	var frames []byte
	out := make([]appended, len(bodies))
	next := first
	for i, body := range bodies {
		size := frameSize + l.sealer.overhead() + int64(len(body))
		switch {
		case len(body) == 0:
			out[i].err = errEmpty
		case int64(len(frames))+size > room:
			out[i].err = ErrFull
		default:
			frames = appendFrame(frames, l.sealer.seal(body, next))
			out[i].sequence = next
			next++
		}
	}
	if len(frames) > 0 {
		if _, err = s.file.WriteAt(frames, s.size); err == nil {
			err = s.file.Sync()
		}
	}
	return out, l.publish(s, int64(len(frames)), next, err)
}

// target returns the segment to write to, the number of the next entry, and
// how many bytes of frames there is room for.
func (l *Log) target() (*segment, uint64, int64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, 0, 0, ErrClosed
	}
	if len(l.segments) == 0 || l.broken || l.last().size >= l.opts.SegmentBytes {
		if l.bytes+headerSize > l.opts.MaxBytes {
			return nil, 0, 0, ErrFull
		}
		if err := l.addSegment(); err != nil {
			return nil, 0, 0, err
		}
	}
	l.writing = true
	return l.last(), l.next, l.opts.MaxBytes - l.bytes - frameSize, nil
}

func (l *Log) last() *segment { return l.segments[len(l.segments)-1] }

// publish makes a written group visible, and marks it as synced. After an
// error the segment is given up: what a failed sync left on disk is anybody's
// guess, so the next segment says where this one ends.
func (l *Log) publish(s *segment, size int64, next uint64, err error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.writing = false
	if err != nil {
		l.broken = true
		return fmt.Errorf("write to the spool: %w", err)
	}
	if size == 0 {
		return nil
	}
	s.size += size
	// The mark needs no sync of its own. Where it cannot be written, the next
	// group cannot either.
	if _, err := s.file.WriteAt(mark(s.size), s.size); err == nil {
		s.size += frameSize
		size += frameSize
	} else {
		l.broken = true
	}
	l.bytes += size
	l.next = next
	l.wake()
	return nil
}

// addSegment begins a new file behind the last one.
func (l *Log) addSegment() error {
	h := header{number: 1, first: l.next, sealed: l.sealer.sealed(), keyCheck: l.sealer.check}
	if len(l.segments) > 0 {
		h.number, h.prevSize = l.last().number+1, l.last().size
	}
	s, err := l.createSegment(h)
	if err != nil {
		return fmt.Errorf("begin a spool segment: %w", err)
	}
	l.segments = append(l.segments, s)
	l.bytes += s.size
	l.broken = false
	return nil
}

// createSegment makes the file under another name first, so that a file with a
// segment's name always has a whole header.
func (l *Log) createSegment(h header) (*segment, error) {
	path := l.path(h.number)
	file, err := os.OpenFile(path+".new", os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	_, err = file.Write(h.encode())
	err = errors.Join(err, file.Sync())
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if err == nil {
		err = syncDir(l.dir)
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return &segment{file: file, number: h.number, first: h.first, size: headerSize}, nil
}

func (l *Log) path(number uint64) string {
	return filepath.Join(l.dir, fmt.Sprintf("spool-%016x.seg", number))
}

// syncDir makes a new or deleted name in the directory durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// trim deletes the segments at the front whose entries are all done, the last
// one too unless a group is on its way into it.
func (l *Log) trim() error {
	for len(l.segments) > 0 {
		s, end := l.segments[0], l.next
		if len(l.segments) > 1 {
			end = l.segments[1].first
		} else if l.writing || s.first == end {
			return nil
		}
		if l.head < end {
			return nil
		}
		if err := errors.Join(os.Remove(s.file.Name()), s.file.Close()); err != nil {
			return fmt.Errorf("delete a drained spool segment: %w", err)
		}
		l.bytes -= s.size
		l.segments = l.segments[1:]
	}
	return nil
}
