package spool

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
)

// load reads the directory: every frame of every segment is checked before
// the spool is used.
func (l *Log) load() error {
	if err := l.removeUnborn(); err != nil {
		return err
	}
	paths, err := filepath.Glob(filepath.Join(l.dir, "spool-*.seg"))
	if err != nil {
		return fmt.Errorf("list the spool: %w", err)
	}
	slices.Sort(paths)
	headers := make([]header, 0, len(paths))
	for _, path := range paths {
		h, err := l.openSegment(path)
		if err != nil {
			l.closeFiles()
			return err
		}
		headers = append(headers, h)
	}
	if err := l.checkSegments(headers); err != nil {
		l.closeFiles()
		return err
	}
	return nil
}

// removeUnborn deletes segments that a crash kept from their name.
func (l *Log) removeUnborn() error {
	paths, err := filepath.Glob(filepath.Join(l.dir, "spool-*.seg.new"))
	if err != nil {
		return fmt.Errorf("list the spool: %w", err)
	}
	for _, path := range paths {
		if err := os.Remove(path); err != nil {
			return fmt.Errorf("delete an unfinished spool segment: %w", err)
		}
	}
	return nil
}

func (l *Log) closeFiles() {
	for _, s := range l.segments {
		s.file.Close()
	}
}

// openSegment opens a file and judges its header.
func (l *Log) openSegment(path string) (header, error) {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return header{}, fmt.Errorf("open the spool: %w", err)
	}
	s := &segment{file: file}
	l.segments = append(l.segments, s)
	h, err := readHeader(file)
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return h, &CorruptError{path, 0, "it is shorter than a header"}
	case err != nil:
		return h, err
	case h.sealed != l.sealer.sealed() || h.keyCheck != l.sealer.check:
		return h, fmt.Errorf("%w: %s; set the SPOOL_KEY that it was written with, let it drain, and change the key then", ErrKey, path)
	}
	s.number, s.first = h.number, h.first
	return h, nil
}

// checkSegments checks that the segments follow each other and that each frame
// is whole.
func (l *Log) checkSegments(headers []header) error {
	for i, s := range l.segments {
		last := i == len(l.segments)-1
		var entries uint64
		var err error
		if last {
			entries, err = l.checkLast(s)
		} else {
			entries, err = checkFull(s, headers[i+1].prevSize)
		}
		if err != nil {
			return err
		}
		l.next = s.first + entries
		l.bytes += s.size
		if !last && (l.next != headers[i+1].first || s.number+1 != headers[i+1].number) {
			return &CorruptError{l.segments[i+1].file.Name(), 0, "it does not follow the segment before it; one is missing"}
		}
	}
	if len(l.segments) > 0 {
		l.head = l.segments[0].first
		l.cursor.sequence = l.head
	}
	return nil
}

// checkFull checks a segment that ends where the next one says.
func checkFull(s *segment, size int64) (entries uint64, err error) {
	s.size = size
	offset, entries, state, err := scan(s.file, size)
	if err == nil && state != frameAbsent {
		err = &CorruptError{s.file.Name(), offset, "a frame is not what was written"}
	}
	return entries, err
}

// scan reads frames from the front until one is not whole. It returns where
// that is and how many entries are ahead of it.
func scan(file *os.File, end int64) (offset int64, entries uint64, state frameState, err error) {
	offset = headerSize
	for {
		body, state, err := readFrame(file, offset, end)
		switch {
		case err != nil:
			return offset, entries, state, fmt.Errorf("read the spool: %w", err)
		case state == frameMark:
			offset += frameSize
		case state == frameWhole:
			offset += frameSize + int64(len(body))
			entries++
		default:
			return offset, entries, state, nil
		}
	}
}

// checkLast checks the segment that was being written, and cuts off what a
// crash left of a write that nobody was told of.
func (l *Log) checkLast(s *segment) (entries uint64, err error) {
	info, err := s.file.Stat()
	if err != nil {
		return 0, fmt.Errorf("read the spool: %w", err)
	}
	offset, entries, state, err := scan(s.file, info.Size())
	if err != nil {
		return 0, err
	}
	s.size = offset
	if state == frameAbsent {
		return entries, nil
	}
	tail := make([]byte, info.Size()-offset)
	if _, err := s.file.ReadAt(tail, offset); err != nil {
		return 0, fmt.Errorf("read the spool: %w", err)
	}
	if holdsMark(tail, offset) {
		return 0, &CorruptError{s.file.Name(), offset, "a frame is not what was written"}
	}
	return entries, l.setAside(s, tail)
}

// holdsMark looks for a mark behind the first bytes of a tail.
func holdsMark(tail []byte, offset int64) bool {
	for i := 1; i+frameSize <= len(tail); i++ {
		if bytes.HasPrefix(tail[i:], noLength) && bytes.HasPrefix(tail[i:], mark(offset+int64(i))) {
			return true
		}
	}
	return false
}

// noLength is how a mark begins.
var noLength = make([]byte, 4)

// setAside moves an unfinished tail to a file of its own.
func (l *Log) setAside(s *segment, tail []byte) error {
	path := fmt.Sprintf("%s.torn-%d", s.file.Name(), s.size)
	if err := os.WriteFile(path, tail, 0o600); err != nil {
		return fmt.Errorf("set an unfinished write aside: %w", err)
	}
	if err := errors.Join(s.file.Truncate(s.size), s.file.Sync(), syncDir(l.dir)); err != nil {
		return fmt.Errorf("cut off an unfinished write: %w", err)
	}
	l.opts.Log.Warn("a crash cut a write to the spool short; nobody was told that it succeeded",
		"file", s.file.Name(), "offset", s.size, "bytes", len(tail), "kept_in", path)
	return nil
}
