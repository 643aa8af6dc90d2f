package spool

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// load reads the directory. Every frame of every segment is checked before the
// spool is used, and until then nothing on disk is touched.
func (l *Log) load() error {
	paths, err := l.list(segmentSuffix)
	if err != nil {
		return err
	}
	headers := make([]header, len(paths))
	for i, path := range paths {
		if headers[i], err = l.openSegment(path); err != nil {
			return err
		}
	}
	for i, s := range l.segments {
		if i == len(l.segments)-1 {
			err = l.checkLast(s)
		} else {
			err = l.checkFull(s, headers[i+1])
		}
		if err != nil {
			return err
		}
		l.bytes += s.size + frameSize
	}
	if len(l.segments) > 0 {
		l.head = l.segments[0].first
		l.cursor.sequence = l.head
		l.number = l.last().number
	}
	return l.removeUnborn()
}

// list returns the paths of the spool's files of one kind, ascending.
func (l *Log) list(suffix string) ([]string, error) {
	files, err := os.ReadDir(l.dir)
	if err != nil {
		return nil, fmt.Errorf("list the spool: %w", err)
	}
	var paths []string
	for _, f := range files {
		if strings.HasPrefix(f.Name(), segmentPrefix) && strings.HasSuffix(f.Name(), suffix) {
			paths = append(paths, filepath.Join(l.dir, f.Name()))
		}
	}
	return paths, nil
}

// openSegment opens a file and judges its header and its name.
func (l *Log) openSegment(path string) (header, error) {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return header{}, fmt.Errorf("open the spool: %w", err)
	}
	s := &segment{file: file}
	l.segments = append(l.segments, s)
	h, err := readHeader(file)
	by := slices.IndexFunc(l.sealers, func(s sealer) bool { return s.is(h) })
	switch {
	case err != nil:
		return h, err
	case path != l.path(h.number):
		return h, &CorruptError{path, 0, "it is not the segment of its name"}
	case by < 0:
		return h, l.keyError(h, path)
	}
	info, err := file.Stat()
	if err != nil {
		return h, fmt.Errorf("read the spool: %w", err)
	}
	s.sealer, s.number, s.first, s.size = l.sealers[by], h.number, h.first, info.Size()
	return h, nil
}

// checkFull checks a segment against what the header of the next one says.
func (l *Log) checkFull(s *segment, next header) error {
	if next.number != s.number+1 {
		return &CorruptError{s.file.Name(), s.size, "the segment behind it is missing"}
	}
	f, err := l.scan(s, min(s.size, next.prevSize))
	switch {
	case err != nil:
		return err
	case f.size != next.prevSize || s.first+f.entries != next.first:
		return damaged(s, f.stop)
	}
	s.size, l.next = f.size, next.first
	return nil
}

// checkLast checks the segment that was being written. What a crash left of a
// write that nobody was told of stays where it is: the spool goes on in a new
// segment, whose header says where this one ends.
func (l *Log) checkLast(s *segment) error {
	end := s.size
	f, err := l.scan(s, end)
	if err != nil {
		return err
	}
	if f.stop < end {
		if err := l.setAside(s, f.stop, end); err != nil {
			return err
		}
	}
	s.size, l.next = f.size, s.first+f.entries
	return l.harden(s, f.synced)
}

// found is what reading a segment from the front found.
type found struct {
	entries uint64
	size    int64 // where the last whole frame ends
	synced  int64 // where the last mark is
	stop    int64 // where neither a frame nor a mark follows
}

// scan reads a segment up to an end, or to the first frame that is not whole.
func (l *Log) scan(s *segment, end int64) (found, error) {
	f := found{size: headerSize, synced: headerSize, stop: headerSize}
	for {
		body, state, err := readFrame(s.file, f.stop, end)
		if err != nil {
			return f, fmt.Errorf("read the spool: %w", err)
		}
		switch state {
		case frameMark:
			f.synced = f.stop
			f.stop += frameSize
		case frameWhole:
			if _, err := s.sealer.open(body, s.first+f.entries); err != nil {
				return f, nil
			}
			f.entries++
			f.stop += frameSize + int64(len(body))
			f.size = f.stop
		default:
			return f, nil
		}
	}
}

// setAside gives up what is behind the last whole frame, unless a mark in it
// says that it was acknowledged.
func (l *Log) setAside(s *segment, offset, end int64) error {
	tail, err := io.ReadAll(io.NewSectionReader(s.file, offset, end-offset))
	if err != nil {
		return fmt.Errorf("read the spool: %w", err)
	}
	if holdsMark(tail, offset) {
		return damaged(s, offset)
	}
	l.broken = true
	l.opts.Log.Warn("a crash cut a write to the spool short; nobody was told that it succeeded",
		"file", s.file.Name(), "offset", offset, "bytes", len(tail))
	return nil
}

// holdsMark looks for a mark behind the first byte of a tail.
func holdsMark(tail []byte, offset int64) bool {
	for i := 1; i+frameSize <= len(tail); i++ {
		if bytes.HasPrefix(tail[i:], noLength) && bytes.HasPrefix(tail[i:], mark(offset+int64(i))) {
			return true
		}
	}
	return false
}

// harden writes the frames behind the last mark once more, and marks them. They
// may have been read from memory alone: after a sync that failed, the system
// takes pages for clean that never reached the disk.
func (l *Log) harden(s *segment, from int64) error {
	if from >= s.size {
		return nil
	}
	frames := make([]byte, s.size-from)
	if _, err := s.file.ReadAt(frames, from); err != nil {
		return fmt.Errorf("read the spool: %w", err)
	}
	if err := l.put(s.file, frames, from); err != nil {
		return fmt.Errorf("sync the end of the spool: %w", err)
	}
	if !l.broken {
		s.mark()
	}
	return nil
}

// removeUnborn deletes segments that a crash kept from their name.
func (l *Log) removeUnborn() error {
	paths, err := l.list(unbornSuffix)
	for _, path := range paths {
		err = errors.Join(err, os.Remove(path))
	}
	return err
}
