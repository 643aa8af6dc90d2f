package spool

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

const (
	maxGroup     = 512     // entries that share one sync
	maxBodyBytes = 1 << 30 // far below what a frame's length can say
)

// appended is the outcome of one entry.
type appended struct {
	sequence uint64
	err      error
}

var errSize = errors.New("a spool entry has between 1 byte and 1 GiB")

// write puts a group of entries on disk: one write, one sync. Groups come one
// after the other. Nobody but Close waits for the disk meanwhile, and readers
// see nothing beyond what is published.
func (l *Log) write(_ context.Context, bodies [][]byte) ([]appended, error) {
	l.disk.Lock()
	defer l.disk.Unlock()
	defer l.finish()
	s, h, err := l.target()
	if err == nil && s == nil {
		s, err = l.addSegment(h)
	}
	if err != nil {
		return nil, err
	}
	first, room := l.room()
	out, group, next := encode(s, bodies, first, room)
	if next == first {
		return out, nil
	}
	if err := l.put(s.file, group, s.size); err != nil {
		l.giveUp(s)
		return nil, fmt.Errorf("write to the spool: %w", err)
	}
	l.publish(s, int64(len(group)), next)
	return out, nil
}

// target returns the segment to write to, or the header of the one to begin.
func (l *Log) target() (*segment, header, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, header{}, ErrClosed
	}
	l.writing = true
	h := header{number: l.number + 1, first: l.next, sealed: l.sealers[0].sealed(), keyCheck: l.sealers[0].check}
	if len(l.segments) > 0 {
		if !l.broken && l.last().size < l.opts.SegmentBytes && l.last().sealer.is(h) {
			return l.last(), header{}, nil
		}
		h.prevSize = l.last().size
	}
	if l.bytes+headerSize+frameSize > l.opts.MaxBytes {
		return nil, header{}, ErrFull
	}
	return nil, h, nil
}

func (l *Log) last() *segment { return l.segments[len(l.segments)-1] }

// room returns the number of the next entry, and how many bytes a group may
// have.
func (l *Log) room() (next uint64, bytes int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.next, l.opts.MaxBytes - l.bytes
}

// encode makes a group of the bodies that there is room for: their frames,
// behind the mark that follows the group before.
func encode(s *segment, bodies [][]byte, next uint64, room int64) ([]appended, []byte, uint64) {
	out := make([]appended, len(bodies))
	group := mark(s.size)
	for i, body := range bodies {
		size := frameSize + s.sealer.overhead() + int64(len(body))
		switch {
		case len(body) == 0 || len(body) > maxBodyBytes:
			out[i].err = errSize
		case int64(len(group))+size > room:
			out[i].err = ErrFull
		default:
			group = appendFrame(group, s.sealer.seal(body, next))
			out[i].sequence = next
			next++
		}
	}
	return out, group, next
}

// publish lets readers have a group that is on disk.
func (l *Log) publish(s *segment, size int64, next uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s.size += size
	s.mark()
	l.bytes += size
	l.next = next
	l.wake()
}

// giveUp ends a segment whose write failed: what a failed sync left on disk is
// anybody's guess, so the header of the next one says where this one ends. Its
// space is given back as far as the disk lets it.
func (l *Log) giveUp(s *segment) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.broken = true
	if s.first != l.next {
		_ = s.file.Truncate(s.size + frameSize)
	} else if l.remove(len(l.segments)-1) == nil {
		l.number-- // for the next try, or there would be a gap
	}
}

// finish deletes what was done while a group was on its way. A fault in that
// is told by the next Done.
func (l *Log) finish() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.writing = false
	_ = l.trim()
}

// addSegment begins a new file behind the last one.
func (l *Log) addSegment(h header) (*segment, error) {
	s, err := l.createSegment(h)
	if err != nil {
		return nil, fmt.Errorf("begin a spool segment: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.segments = append(l.segments, s)
	l.number = s.number
	l.bytes += s.size + frameSize
	l.broken = false
	return s, nil
}

// createSegment makes the file under another name first, so that a file with a
// segment's name always has a whole header. When it fails, the next try takes
// the same number and so replaces what this one left.
func (l *Log) createSegment(h header) (*segment, error) {
	path := l.path(h.number)
	unborn := filepath.Join(l.dir, fmt.Sprintf(segmentPrefix+"%016x"+unbornSuffix, h.number))
	if err := l.writeFile(unborn, append(h.encode(), mark(headerSize)...)); err != nil {
		_ = os.Remove(unborn)
		return nil, err
	}
	if err := errors.Join(os.Rename(unborn, path), syncDir(l.dir)); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	return &segment{file: file, sealer: l.sealers[0], number: h.number, first: h.first, size: headerSize}, nil
}

func (l *Log) writeFile(path string, b []byte) error {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(l.put(file, b, 0), file.Close())
}

func (l *Log) path(number uint64) string {
	return filepath.Join(l.dir, fmt.Sprintf(segmentPrefix+"%016x"+segmentSuffix, number))
}

// putSynced writes b at an offset, and returns once the disk has it.
func putSynced(file *os.File, b []byte, offset int64) error {
	if _, err := file.WriteAt(b, offset); err != nil {
		return err
	}
	return file.Sync()
}

// syncDir makes new and deleted names in a directory durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// trim deletes the segments at the front whose entries are all done, and syncs
// each deletion: a crash that undid one without the next would leave a gap.
func (l *Log) trim() error {
	for l.drained() {
		if err := errors.Join(l.remove(0), syncDir(l.dir)); err != nil {
			return fmt.Errorf("delete a drained spool segment: %w", err)
		}
	}
	return nil
}

// drained says whether the first segment may go. The last one may not while a
// group is on its way into it.
func (l *Log) drained() bool {
	switch len(l.segments) {
	case 0:
		return false
	case 1:
		return l.head == l.next && !l.writing
	default:
		return l.head >= l.segments[1].first
	}
}

// remove deletes a segment. It stays where its file cannot be deleted.
func (l *Log) remove(i int) error {
	s := l.segments[i]
	if err := os.Remove(s.file.Name()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	_ = s.file.Close()
	l.bytes -= s.size + frameSize
	l.segments = slices.Delete(l.segments, i, i+1)
	return nil
}
