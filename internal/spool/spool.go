// Package spool keeps entries on local disk, in order, until they are done. It
// knows nothing of what is in them.
//
// Guarantee: Append returns when the entry is synced to disk, and every entry
// that it returned for is given out again after any crash, until Done. Entries
// are handed out in the order in which they were appended.
//
// Limits: Done is remembered in memory, and on disk only by deleting a segment
// all of whose entries are done; after a restart the others of it come again.
// An entry whose Append failed may be given out after a crash. That the first
// or last file is missing, or ends early between two entries, cannot be seen.
// A power cut can take the mark of the last group that was synced; should the
// disk also damage that group, it looks like an unfinished write.
//
// An entry is checksummed, and sealed with AES-256-GCM where there is a key. A
// crash can leave the last write unfinished; the next start reports it and
// leaves it out, for it was never acknowledged. Any other damage stops the
// start, because what is damaged may have been acknowledged; the error names
// file and offset, and nothing is deleted.
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
// first is the sequence number of the segment's first entry. prevSize is where
// the last frame of the segment before it ends: behind that there is a mark, or
// what a failed or unfinished write left. The CRC-32C of a header covers all
// before it, that of a frame its length and body, that of a mark its own
// offset. A sealed body is a nonce, the ciphertext, and a tag over both and the
// entry's number.
//
// A mark follows the header, and each group of frames once that group is
// synced. Damage ahead of a mark is damage to what was acknowledged; damage
// behind the last mark is a write that a crash cut short. A mark is synced only
// with the group behind it, which begins by writing it again, so nothing else
// may rely on it being there.
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
	// ErrKey: the spool was written with none of the keys, or with one where there
	// is none now, or without one where there is one now.
	ErrKey = errors.New("spool key does not fit")
	// ErrVersion: the spool was written by another version of this program.
	ErrVersion = errors.New("spool is of another version")
	// ErrClosed: the spool was closed.
	ErrClosed = errors.New("spool is closed")
)

// CorruptError says where acknowledged entries are damaged.
type CorruptError struct {
	File   string
	Offset int64 // in bytes
	Cause  string
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("spool file %s is damaged at byte %d: %s; nothing was deleted: restore the file, or move it to another directory, and with it either all files before it or all behind it", e.File, e.Offset, e.Cause)
}

// Options of a Log.
type Options struct {
	// MaxBytes bounds all segments together. It needs room for a few of them,
	// because space returns by whole segments.
	MaxBytes     int64
	SegmentBytes int64        // where a new segment begins; 0: 16 MiB, or MaxBytes/8 where that is less
	Keys         [][]byte     // 32 bytes each: the first seals, all open; none: entries are not sealed. See Log.SetKeys
	Log          *slog.Logger // told of unfinished writes; nil: nobody is
}

const defaultSegmentBytes = 16 << 20

// Entry is what Append was given, with its place in the order.
type Entry struct {
	Sequence uint64
	Body     []byte // the caller's to keep
}

// Log is an open spool. It is safe for concurrent use.
type Log struct {
	dir             string
	id              string
	fresh, farewell bool
	opts            Options
	sealers         []sealer // as Options.Keys; changed under disk and mu
	lock            *flock.Flock
	appends         *batch.Group[[]byte, appended]
	put             func(file *os.File, b []byte, offset int64) error // putSynced

	disk sync.Mutex // held while a group is written; taken before mu

	mu       sync.Mutex
	segments []*segment // ascending; the last is written to
	number   uint64     // of the segment begun last
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
	return open(dir, opts, putSynced)
}

func open(dir string, opts Options, put func(*os.File, []byte, int64) error) (*Log, error) {
	if opts.SegmentBytes == 0 {
		opts.SegmentBytes = min(defaultSegmentBytes, opts.MaxBytes/8)
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	sealers, err := newSealers(opts.Keys)
	if err != nil {
		return nil, err
	}
	if err := makeDir(dir); err != nil {
		return nil, fmt.Errorf("make spool directory: %w", err)
	}
	l := &Log{dir: dir, opts: opts, sealers: sealers, put: put, done: map[uint64]struct{}{}, arrived: make(chan struct{})}
	if err := l.takeLock(); err != nil {
		return nil, err
	}
	if err := l.load(); err != nil {
		return nil, errors.Join(err, l.release())
	}
	if err := l.identify(); err != nil {
		return nil, errors.Join(err, l.release())
	}
	l.appends = batch.New(maxGroup, l.write)
	return l, nil
}

// makeDir makes a directory whose name outlives a crash.
func makeDir(dir string) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return syncDir(filepath.Dir(dir))
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
// ErrClosed, an error for a body that is empty or larger than 1 GiB, the
// context's error, or an error of the file system; after the last, the spool
// goes on in a new segment as soon as the disk lets it.
//
// The body must not change until Append returns, and never again after the
// context's error: then it may still be written.
func (l *Log) Append(ctx context.Context, body []byte) (uint64, error) {
	a, err := l.appends.Do(ctx, body)
	if err != nil {
		return 0, err
	}
	return a.sequence, a.err
}

// Done says that an entry need not be given out again. Segments all of whose
// entries are done are deleted. Saying it twice, or of an entry that there is
// not, changes nothing. It returns ErrClosed, or an error of the file system
// when a segment could not be deleted; the entry is done nevertheless, and the
// next Done tries again.
func (l *Log) Done(sequence uint64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return ErrClosed
	}
	if sequence < l.next && !l.isDone(sequence) {
		l.done[sequence] = struct{}{}
	}
	for l.head < l.next && l.isDone(l.head) {
		delete(l.done, l.head)
		l.head++
	}
	return l.trim()
}

func (l *Log) isDone(sequence uint64) bool {
	_, ok := l.done[sequence]
	return ok || sequence < l.head
}

// Pending is how many entries are not done.
func (l *Log) Pending() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return int(l.next-l.head) - len(l.done) // #nosec G115 -- a count of events in memory
}

// Ready is nil while entries can be taken, as far as the last one tells. After
// one that failed it tries the disk itself: a gateway that gets no requests
// because it is not ready would never find out otherwise.
func (l *Log) Ready() error {
	broken, err := l.state()
	if err == nil && broken {
		_, err = l.write(context.Background(), nil) // begins a segment
	}
	return err
}

func (l *Log) state() (broken bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.closed:
		err = ErrClosed
	case l.bytes+headerSize >= l.opts.MaxBytes:
		err = ErrFull
	}
	return l.broken, err
}

// Bytes is how much the segments take on disk, without what unfinished writes
// left behind them.
func (l *Log) Bytes() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.bytes
}

// Close ends all reading and appending and gives the directory free. It waits
// for a write that is under way: nothing is written after it returns. A second
// call does nothing.
func (l *Log) Close() error {
	if !l.stop() {
		return nil
	}
	l.disk.Lock()
	defer l.disk.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.release()
}

// stop lets nothing new begin. It says whether that was the first time.
func (l *Log) stop() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	l.closed = true
	l.wake()
	return true
}

// release closes the files and then gives the directory free.
func (l *Log) release() error {
	var errs []error
	for _, s := range l.segments {
		errs = append(errs, s.file.Close())
	}
	l.segments = nil
	return errors.Join(append(errs, l.lock.Unlock())...)
}

// wake tells readers that something changed.
func (l *Log) wake() {
	close(l.arrived)
	l.arrived = make(chan struct{})
}
