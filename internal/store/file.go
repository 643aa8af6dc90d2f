package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"awareid-gateway/internal/batch"
	"awareid-gateway/internal/event"
)

const (
	// lockTimeout lets a predecessor that is stopping let go of the file.
	lockTimeout = time.Second
	// maxSteps bounds one transaction, and so how long its callers wait.
	maxSteps = 1024
	// sweepMore is how many records a commit forgets beside one for each of its
	// callers, so that a backlog shrinks and yet never shows as a pause.
	sweepMore = 64
	// sweepOnOpen bounds what is forgotten at once after a long stop.
	sweepOnOpen = 10_000
)

// File remembers claims in a local file, for a gateway of one replica. Calls that
// are made while another is being synced to disk share the next sync. It is safe
// for concurrent use, in one process: the file is locked against others.
//
// The clock is the local one. Were it set back, leases and records would last
// longer; were it set forward by more than a lease, a claim could be inherited
// early.
//
// The file never shrinks: room that old records leave is used for new ones.
type File struct {
	db    *bolt.DB
	now   func() time.Time
	steps *batch.Group[step, outcome]
}

// step is one caller's part in a transaction. Its error is that caller's alone,
// and undoes nothing.
type step func(*table) (any, error)

type outcome struct {
	value any
	err   error // of this step alone
}

// OpenFile opens the claim file at path, and makes it, readable by its owner
// only, if there is none. The clock is now; give time.Now.
//
// It returns ErrLocked if another process keeps the file open for longer than a
// second, ErrFormat if it is another kind of file or of another version, or the
// error of the file system. Each names the file.
func OpenFile(path string, now func() time.Time) (*File, error) {
	db, err := openBolt(path, now())
	if err != nil {
		return nil, fmt.Errorf("open claim file %s: %w", path, err)
	}
	f := &File{db: db, now: now}
	f.steps = batch.New(maxSteps, f.commit)
	return f, nil
}

func openBolt(path string, now time.Time) (*bolt.DB, error) {
	db, err := bolt.Open(path, 0o600, &bolt.Options{Timeout: lockTimeout, FreelistType: bolt.FreelistMapType})
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return nil, ErrLocked
	case errors.Is(err, bolterrors.ErrInvalid), errors.Is(err, bolterrors.ErrVersionMismatch), errors.Is(err, bolterrors.ErrChecksum):
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	case err != nil:
		return nil, err
	}

	err = db.Update(func(tx *bolt.Tx) error {
		if err := prepare(tx); err != nil {
			return err
		}
		return openTable(tx, now).sweep(sweepOnOpen)
	})
	if err == nil {
		err = syncDir(path)
	}
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// Ping reports whether the file is open.
func (f *File) Ping(context.Context) error {
	if err := f.db.View(func(*bolt.Tx) error { return nil }); err != nil {
		return fmt.Errorf("ping claim file: %w", err)
	}
	return nil
}

// Close waits for the transaction that is under way, and closes the file. Later
// calls fail.
func (f *File) Close() error {
	if err := f.db.Close(); err != nil {
		return fmt.Errorf("close claim file: %w", err)
	}
	return nil
}

// Claim does what Redis.Claim does. It returns ErrInvalid, or the error of the
// disk or of ctx; then it is unknown whether the claim was made.
func (f *File) Claim(ctx context.Context, c event.Claim, terms event.Terms) (event.Claim, event.Verdict, error) {
	if err := checkClaim(c, terms); err != nil {
		return event.Claim{}, 0, err
	}
	answer, err := do(ctx, f, func(t *table) (claimAnswer, error) { return t.claim(c, withLease(terms)) })
	if err != nil {
		return event.Claim{}, 0, fmt.Errorf("claim in file: %w", err)
	}
	return answer.claim, answer.verdict, nil
}

// Renew does what Redis.Renew does.
func (f *File) Renew(ctx context.Context, key, token string, lease time.Duration) (bool, error) {
	ok, err := do(ctx, f, func(t *table) (bool, error) {
		return t.update(key, func(r *record) bool { return r.renew(token, lease, t.now) })
	})
	if err != nil {
		return false, fmt.Errorf("renew claim in file: %w", err)
	}
	return ok, nil
}

// Spool does what Redis.Spool does.
func (f *File) Spool(ctx context.Context, key, token string) (bool, error) {
	ok, err := do(ctx, f, func(t *table) (bool, error) {
		return t.update(key, func(r *record) bool { return r.spool(token) })
	})
	if err != nil {
		return false, fmt.Errorf("spool claim in file: %w", err)
	}
	return ok, nil
}

// Release does what Redis.Release does.
func (f *File) Release(ctx context.Context, key, token string) error {
	_, err := do(ctx, f, func(t *table) (bool, error) { return t.release(key, token) })
	if err != nil {
		return fmt.Errorf("release claim in file: %w", err)
	}
	return nil
}

// Confirm does what Redis.Confirm does, in one transaction.
func (f *File) Confirm(ctx context.Context, done []event.Delivery) ([]bool, error) {
	if err := checkDeliveries(done); err != nil {
		return nil, err
	}
	oks, err := do(ctx, f, func(t *table) ([]bool, error) { return t.confirm(done) })
	if err != nil {
		return nil, fmt.Errorf("confirm claims in file: %w", err)
	}
	return oks, nil
}

// do runs a step in a transaction with those of other callers.
func do[R any](ctx context.Context, f *File, run func(*table) (R, error)) (R, error) {
	out, err := f.steps.Do(ctx, func(t *table) (any, error) { return run(t) })
	if err == nil {
		err = out.err
	}
	if err != nil {
		var none R
		return none, err
	}
	return out.value.(R), nil
}

// commit runs the steps of one group in one transaction, which is on disk when it
// returns. One that changed nothing, as with repeats of delivered events, costs
// no sync.
func (f *File) commit(_ context.Context, steps []step) ([]outcome, error) {
	tx, err := f.db.Begin(true)
	if err != nil {
		return nil, err
	}
	defer tx.Rollback() //nolint:errcheck // does nothing after Commit

	t := openTable(tx, f.now())
	outcomes := make([]outcome, len(steps))
	for i, step := range steps {
		outcomes[i].value, outcomes[i].err = step(t)
	}
	if err := t.sweep(len(steps) + sweepMore); err != nil {
		return nil, err
	}
	if !t.changed {
		return outcomes, nil
	}
	return outcomes, tx.Commit()
}

// syncDir makes a new file's name as durable as its content.
func syncDir(path string) error {
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
