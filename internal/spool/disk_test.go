package spool_test

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/spool"
)

// disk fails when it is told to, and knows what it would hold after a power
// cut: each file as its last sync left it.
type disk struct {
	mu      sync.Mutex
	fault   fault // nil: none
	durable map[string][]byte
	puts    int
}

// fault writes as much as it likes, and returns the error, nil for a write that
// goes well.
type fault func(file *os.File, b []byte, offset int64) error

func newDisk() *disk { return &disk{durable: map[string][]byte{}} }

func (d *disk) put(file *os.File, b []byte, offset int64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.puts++
	if d.fault != nil {
		if err := d.fault(file, b, offset); err != nil {
			return err
		}
	}
	if err := spool.Put(file, b, offset); err != nil {
		return err
	}
	whole, err := os.ReadFile(file.Name())
	d.durable[strings.TrimSuffix(filepath.Base(file.Name()), ".new")] = whole
	return err
}

func (d *disk) fail(f fault) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fault = f
}

// afterPowerCut is what a directory on this disk comes back with.
func (d *disk) afterPowerCut(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	for name := range snapshot(t, dir) {
		files[name] = d.durable[name]
	}
	return files
}

func openOn(t *testing.T, d *disk, dir string, opts spool.Options) *spool.Log {
	t.Helper()
	l, err := spool.OpenOn(d.put, dir, opts)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, l.Close()) })
	return l
}

// isHeader says that a write begins a segment.
func isHeader(offset int64) bool { return offset == 0 }

var faults = map[string]fault{
	"no space for any of it": func(*os.File, []byte, int64) error { return syscall.ENOSPC },
	"no space for all of it": func(file *os.File, b []byte, offset int64) error {
		_, _ = file.WriteAt(b[:len(b)*2/3], offset)
		return syscall.ENOSPC
	},
	"the sync fails": func(file *os.File, b []byte, offset int64) error {
		_, _ = file.WriteAt(b, offset)
		return syscall.EIO
	},
	"a segment can be begun, no more": func(file *os.File, b []byte, offset int64) error {
		if isHeader(offset) {
			return nil
		}
		_, _ = file.WriteAt(b[:len(b)-1], offset)
		return syscall.ENOSPC
	},
}

func TestTheDiskFails(t *testing.T) {
	for title, fault := range faults {
		for form, key := range keys {
			t.Run(title+"/"+form, func(t *testing.T) {
				dir, d := t.TempDir(), newDisk()
				l := openOn(t, d, dir, sealedOptions(key))
				var want []string
				for round := range 4 {
					acknowledged := bodies(10*round, 10*round+6)
					want = append(want, acknowledged...)
					add(t, l, acknowledged...)
					took, before := l.Bytes(), snapshot(t, dir)

					d.fail(fault)
					for range 5 {
						_, err := l.Append(t.Context(), []byte("not acknowledged"))
						require.Error(t, err)
						require.ErrorContains(t, err, "spool")
						require.NotErrorIs(t, err, spool.ErrFull)
					}
					require.Equal(t, took, l.Bytes())
					require.Equal(t, took, size(snapshot(t, dir)), "the space is given back")
					require.LessOrEqual(t, len(snapshot(t, dir)), len(before), "failures do not pile up")
					require.Equal(t, len(want), l.Pending())
					d.fail(nil)

					want = append(want, "there is room again")
					add(t, l, "there is room again")
					require.Greater(t, len(snapshot(t, dir)), len(before), "it goes on in a new segment")
				}
				require.NoError(t, l.Close())

				require.Equal(t, want, drain(t, open(t, directory(t, d.afterPowerCut(t, dir)), sealedOptions(key))), "after a power cut")
				l, told := openTold(t, dir, sealedOptions(key))
				require.Empty(t, told.String())
				require.Equal(t, want, drain(t, l))
				require.Empty(t, snapshot(t, dir))
			})
		}
	}
}

// A process that dies right after a write failed cannot clean up. What was not
// acknowledged may then come back, if it is whole.
func TestTheDiskFailsAndThenTheProcess(t *testing.T) {
	for title, fault := range faults {
		t.Run(title, func(t *testing.T) {
			dir, d := t.TempDir(), newDisk()
			l := openOn(t, d, dir, options())
			add(t, l, bodies(0, 8)...)
			var left map[string][]byte
			d.fail(func(file *os.File, b []byte, offset int64) error {
				err := fault(file, b, offset)
				if err != nil {
					left = snapshot(t, dir)
				}
				return err
			})
			_, err := l.Append(t.Context(), []byte("not acknowledged"))
			require.Error(t, err)

			// What the system kept in memory of a failed sync may never be on disk.
			again, d2 := directory(t, left), newDisk()
			d2.durable = d.durable
			l = openOn(t, d2, again, options())
			got := contents(take(t, l, l.Pending()))
			require.Equal(t, bodies(0, 8), got[:8])
			if len(got) > 8 {
				require.Equal(t, []string{"not acknowledged"}, got[8:])
			}
			add(t, l, "later")
			later := append(got, "later")
			require.Equal(t, later, drain(t, open(t, directory(t, d2.afterPowerCut(t, again)), options())))
		})
	}
}

func TestThePowerIsCutBehindAnyAppend(t *testing.T) {
	for form, key := range keys {
		t.Run(form, func(t *testing.T) {
			dir, d, cut := t.TempDir(), newDisk(), t.TempDir()
			l := openOn(t, d, dir, sealedOptions(key))
			for i := range 30 {
				if i%7 == 6 {
					require.NoError(t, l.Close())
					l = openOn(t, d, dir, sealedOptions(key))
				}
				add(t, l, body(i))
				fill(t, cut, d.afterPowerCut(t, dir))
				after, told := openTold(t, cut, sealedOptions(key))
				require.Equal(t, bodies(0, i+1), drain(t, after))
				require.Empty(t, told.String())
				require.NoError(t, after.Close())
			}
		})
	}
}

func TestADiskThatFailsAtOpen(t *testing.T) {
	c := newCrashed(t, nil)
	files := c.with(c.files[c.last][:c.frames[len(c.frames)-1]])
	dir, d := directory(t, files), newDisk()
	d.fail(faults["no space for any of it"])
	_, err := spool.OpenOn(d.put, dir, options())
	require.ErrorIs(t, err, syscall.ENOSPC)
	require.Equal(t, files, snapshot(t, dir))

	l := open(t, dir, options())
	require.Equal(t, bodies(0, entriesOfCrashed), drain(t, l), "the lock was given back")
}

func TestASegmentThatCannotBeDeletedIsTriedAgain(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, options())
	add(t, l, bodies(0, 2)...)
	// A folder that holds something stands where the file was.
	path := filepath.Join(dir, name(1))
	require.NoError(t, os.Rename(path, path+".real"))
	require.NoError(t, os.MkdirAll(filepath.Join(path, "in the way"), 0o700))
	require.NoError(t, l.Done(0))
	require.Error(t, l.Done(1))
	require.Zero(t, l.Pending(), "it is done nevertheless")

	require.NoError(t, os.RemoveAll(path))
	require.NoError(t, os.Rename(path+".real", path))
	require.NoError(t, l.Done(1))
	require.Empty(t, snapshot(t, dir))
	require.Zero(t, l.Bytes())
}

// TestReadyAgain: nobody appends to a spool that is not ready.
func TestReadyAgain(t *testing.T) {
	dir, d := t.TempDir(), newDisk()
	l := openOn(t, d, dir, sealedOptions(nil))
	add(t, l, "before")
	require.NoError(t, l.Ready())
	d.fail(faults["no space for any of it"])
	_, err := l.Append(t.Context(), []byte("not acknowledged"))
	require.ErrorIs(t, err, syscall.ENOSPC)
	for range 3 {
		require.ErrorIs(t, l.Ready(), syscall.ENOSPC)
	}
	d.fail(nil)
	require.NoError(t, l.Ready())
	puts := d.puts
	require.NoError(t, l.Ready())
	require.Equal(t, puts, d.puts, "a spool that is well is not tried")
	add(t, l, "after")
	require.Equal(t, 2, l.Pending())
}
