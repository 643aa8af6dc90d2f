// Package spool keeps entries on local disk, in order, until they are done. It
// knows nothing of what is in them.
//
// Guarantee: Append returns when the entry is synced to disk, and every entry
// that it returned for is given out again after any crash, until Done. Entries
// are handed out in the order in which they were appended. One that was done
// shortly before a crash may be given out once more.
//
// An entry is checksummed, and sealed with AES-256-GCM where there is a key. A
// crash can leave the last write unfinished; that is cut off at the next
// start, set aside in a file of its own, and reported: it was never
// acknowledged. Any other damage stops the start, because what is damaged may
// have been acknowledged; the error names file and offset, and nothing is
// deleted.
//
// # Format
//
// A spool is a directory of segments, spool-%016x.seg by number. A segment is
// a header and frames behind each other; integers are big-endian:
//
//	header  magic[8] version[4] flags[4] number[8] first[8] prevSize[8] keyCheck[16] crc[4]
//	frame   length[4] crc[4] body[length]
//	mark    0[4] crc[4]
//
// first is the sequence number of the segment's first entry. prevSize is how
// many bytes of the segment before it count: a write that failed half-way can
// leave some behind them. The CRC-32C of a header covers all before it, that of
// a frame its length and body, that of a mark its own offset. A sealed body is
// a nonce, the ciphertext, and a tag over both and the entry's number.
//
// A mark follows each group of frames once that group is synced. Damage ahead
// of a mark is damage to what was acknowledged; damage behind the last mark is
// a write that a crash cut short.
package spool

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	"github.com/gofrs/flock"

	"awareid-gateway/internal/batch"
)

// The errors that a caller can tell apart. What wraps them names the file.
var (
	// ErrLocked: another process has the directory.
	ErrLocked = errors.New("spool directory is in use by another process")
	// ErrFull: the entry would pass Options.MaxBytes. Nothing was written.
	ErrFull = errors.New("spool is full")
	// ErrKey: the spool was written with another key, or with one where there
	// is none now.
	ErrKey = errors.New("spool was written with another key")
	// ErrVersion: the spool was written by another version of this program.
	ErrVersion = errors.New("spool is of another version")
	// ErrClosed: the spool was closed.
	ErrClosed = errors.New("spool is closed")
)

// CorruptError says where acknowledged entries are damaged.
type CorruptError struct {
	File   string
	Offset int64
	Cause  string
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("spool file %s is damaged at byte %d: %s; nothing was deleted: restore the file, or move it away to go on without what it holds", e.File, e.Offset, e.Cause)
}

// Options of a Log.
type Options struct {
	MaxBytes     int64  // of all segments together
	SegmentBytes int64  // where a new segment begins; 0: 16 MiB
	Key          []byte // 32 bytes; nil: entries are not sealed
	Log          *slog.Logger
}

const defaultSegmentBytes = 16 << 20

// Entry is what Append was given, with its place in the order.
type Entry struct {
	Sequence uint64
	Body     []byte // the caller's to keep
}

// Log is an open spool. It is safe for concurrent use.
type Log struct {
	dir     string
	opts    Options
	sealer  sealer
	lock    *flock.Flock
	appends *batch.Group[[]byte, appended]

	mu       sync.Mutex
	segments []*segment // ascending; the last is written to
	broken   bool       // the last segment takes nothing more
	writing  bool       // a group is on its way into the last segment
	next     uint64     // sequence of the next entry
	head     uint64     // every entry before it is done
	done     map[uint64]struct{}
	bytes    int64
	closed   bool
	arrived  chan struct{} // closed when next or closed changes
	cursor   cursor
}

// Open takes over a directory, which it makes if there is none, readable by
// its owner only. It returns ErrLocked, ErrKey, ErrVersion, a *CorruptError,
// or an error of the file system.
func Open(dir string, opts Options) (*Log, error) {
	if opts.SegmentBytes == 0 {
		opts.SegmentBytes = defaultSegmentBytes
	}
	sealer, err := newSealer(opts.Key)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make spool directory: %w", err)
	}
	l := &Log{dir: dir, opts: opts, sealer: sealer, done: map[uint64]struct{}{}, arrived: make(chan struct{})}
	if err := l.takeLock(); err != nil {
		return nil, err
	}
	if err := l.load(); err != nil {
		l.lock.Unlock()
		return nil, err
	}
	l.appends = batch.New(maxGroup, l.write)
	return l, nil
}

func (l *Log) takeLock() error {
	path := filepath.Join(l.dir, "LOCK")
	l.lock = flock.New(path, flock.SetPermissions(0o600))
	ok, err := l.lock.TryLock()
	if err != nil {
		return fmt.Errorf("lock %s: %w", path, err)
	}
	if !ok {
		return fmt.Errorf("%w: %s", ErrLocked, l.dir)
	}
	return nil
}

// Append writes an entry and returns its sequence number once it is on disk.
// Entries that arrive during one sync share the next. It returns ErrFull,
// ErrClosed, an error for an empty body, the context's error (then the entry may still be written), or an
// error of the file system; the spool then goes on in a new segment as soon as
// the disk lets it.
func (l *Log) Append(ctx context.Context, body []byte) (uint64, error) {
	a, err := l.appends.Do(ctx, body)
	if err != nil {
		return 0, err
	}
	return a.sequence, a.err
}

// Done says that an entry need not be given out again. Segments all of whose
// entries are done are deleted.
func (l *Log) Done(sequence uint64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.done[sequence] = struct{}{}
	for {
		if _, ok := l.done[l.head]; !ok || l.head == l.next {
			break
		}
		delete(l.done, l.head)
		l.head++
	}
	return l.trim()
}

// Pending is how many entries are not done.
func (l *Log) Pending() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return int(l.next-l.head) - len(l.done)
}

// Bytes is how much the segments take on disk.
func (l *Log) Bytes() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.bytes
}

// Close ends all reading and appending and gives the directory free.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil
	}
	l.closed = true
	l.wake()
	var errs []error
	for _, s := range l.segments {
		errs = append(errs, s.file.Close())
	}
	errs = append(errs, l.lock.Unlock())
	return errors.Join(errs...)
}

// wake tells readers that something changed.
func (l *Log) wake() {
	close(l.arrived)
	l.arrived = make(chan struct{})
}
