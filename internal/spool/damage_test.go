package spool_test

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/spool"
)

func TestAFileThatIsNotTheLastEndsEarly(t *testing.T) {
	c := newCrashed(t, nil)
	whole := c.files[name(2)]
	dir := t.TempDir()
	for end := range len(whole) - spool.FrameSize {
		files := maps.Clone(c.files)
		files[name(2)] = whole[:end]
		fill(t, dir, files)
		stops(t, dir, options(), name(2))
	}
}

func TestADirectoryThatIsNotAsItWasLeft(t *testing.T) {
	for title, tc := range map[string]struct {
		change func(files map[string][]byte)
		file   string // named by the error
	}{
		"a file in the middle is missing": {
			func(f map[string][]byte) { delete(f, name(2)) }, name(1),
		},
		"two files changed places": {
			func(f map[string][]byte) { f[name(1)], f[name(2)] = f[name(2)], f[name(1)] }, name(1),
		},
		"a file is there twice": {
			func(f map[string][]byte) { f[name(9)] = f[name(2)] }, name(9),
		},
		"a file was renamed": {
			func(f map[string][]byte) { f[name(7)] = f[name(1)]; delete(f, name(1)) }, name(7),
		},
		"an empty file": {
			func(f map[string][]byte) { f[name(2)] = []byte{} }, name(2),
		},
		"an empty last file": {
			func(f map[string][]byte) { f[name(4)] = []byte{} }, name(4),
		},
		"a foreign file by the name of a segment": {
			func(f map[string][]byte) { f["spool-notes.seg"] = make([]byte, 4096) }, "spool-notes.seg",
		},
		"the next file begins elsewhere": {
			func(f map[string][]byte) {
				copy(f[name(2)], spool.Header(2, 6, int64(len(f[name(1)])-spool.FrameSize)))
			}, name(1),
		},
		"the next file says another length": {
			func(f map[string][]byte) { copy(f[name(2)], spool.Header(2, 5, 1<<62)) }, name(1),
		},
		"the next file says a length with the mark": {
			func(f map[string][]byte) { copy(f[name(2)], spool.Header(2, 5, int64(len(f[name(1)])))) }, name(1),
		},
		"the next file says a negative length": {
			func(f map[string][]byte) { copy(f[name(2)], spool.Header(2, 5, -1)) }, name(1),
		},
	} {
		t.Run(title, func(t *testing.T) {
			c := newCrashed(t, nil)
			tc.change(c.files)
			stops(t, directory(t, c.files), options(), tc.file)
		})
	}
}

// What the error advises works: either side of a damaged file opens by itself.
func TestEitherSideOfADamagedFileOpens(t *testing.T) {
	c := newCrashed(t, nil)
	before := map[string][]byte{name(1): c.files[name(1)]}
	behind := maps.Clone(c.files)
	delete(behind, name(1))
	delete(behind, name(2))
	got := drain(t, open(t, directory(t, before), options()))
	require.NotEmpty(t, got)
	require.Equal(t, bodies(0, len(got)), got)
	got = drain(t, open(t, directory(t, behind), options()))
	require.Equal(t, bodies(entriesOfCrashed-len(got), entriesOfCrashed), got)
}

func TestForeignFilesAreLeftAlone(t *testing.T) {
	c := newCrashed(t, nil)
	foreign := map[string][]byte{"lost+found": {1}, "notes.seg": {2}, "spool-": {3}, "spool-1.seg.bak": {4}}
	maps.Copy(c.files, foreign)
	dir := directory(t, c.files)
	require.Equal(t, bodies(0, entriesOfCrashed), drain(t, open(t, dir, options())))
	require.Equal(t, foreign, snapshot(t, dir))
}

func TestASegmentThatGotNoNameIsDeleted(t *testing.T) {
	c := newCrashed(t, nil)
	unborn := name(4) + ".new"
	c.files[unborn] = []byte("AWRSP")
	dir := directory(t, c.files)
	l, told := openTold(t, dir, options())
	require.NotContains(t, snapshot(t, dir), unborn)
	require.Empty(t, told.String())
	goesOn(t, l, dir, options(), bodies(0, entriesOfCrashed))

	c.files[name(2)] = nil
	fill(t, dir, c.files)
	stops(t, dir, options(), name(2))
}

func TestSealedFramesCannotChangePlaces(t *testing.T) {
	c := newCrashed(t, keys["sealed"])
	file := c.files[c.last]
	first, second := slices.Clone(file[c.marks[0]:c.frames[0]]), file[c.frames[0]:c.frames[1]]
	copy(file[c.marks[0]:], second)
	copy(file[c.frames[0]:], first)
	stops(t, directory(t, c.files), sealedOptions(keys["sealed"]), c.last)
}

func TestDamageSinceOpenIsTold(t *testing.T) {
	for form, key := range keys {
		t.Run(form, func(t *testing.T) {
			c := newCrashed(t, key)
			dir := directory(t, c.files)
			l := open(t, dir, sealedOptions(key))
			c.files[c.last][c.frames[0]-1] ^= 1
			require.NoError(t, os.WriteFile(filepath.Join(dir, c.last), c.files[c.last], 0o600))
			require.Equal(t, bodies(0, c.before), contents(take(t, l, c.before)))
			for range 2 {
				_, err := l.Next(t.Context())
				var corrupt *spool.CorruptError
				require.ErrorAs(t, err, &corrupt)
				require.Equal(t, filepath.Join(dir, c.last), corrupt.File)
				require.Equal(t, c.marks[0], corrupt.Offset)
			}
		})
	}
}

// TestAnotherKey stops the start with advice that works, and changes nothing.
func TestAnotherKey(t *testing.T) {
	old, next := keys["sealed"], nextKey
	for title, tc := range map[string]struct {
		wrote, reads, advised [][]byte
		advice                string
	}{
		"another": {
			[][]byte{old}, [][]byte{next}, [][]byte{next, old},
			"list that in SPOOL_KEY behind the new one until the spool has drained",
		},
		"none any more": {
			[][]byte{old}, nil, [][]byte{old},
			"set SPOOL_KEY as it was until the spool has drained, then unset it",
		},
		"one now": {
			nil, [][]byte{next}, nil,
			"start without SPOOL_KEY until the spool has drained, then set it",
		},
	} {
		t.Run(title, func(t *testing.T) {
			dir := t.TempDir()
			l, err := spool.Open(dir, withKeys(tc.wrote...))
			require.NoError(t, err)
			put(t, l, 0)
			require.NoError(t, l.Close())
			before := snapshot(t, dir)

			_, err = spool.Open(dir, withKeys(tc.reads...))
			require.ErrorIs(t, err, spool.ErrKey)
			require.ErrorContains(t, err, name(1))
			require.ErrorContains(t, err, tc.advice)
			require.Equal(t, before, snapshot(t, dir))

			l, err = spool.Open(dir, withKeys(tc.advised...))
			require.NoError(t, err)
			require.Equal(t, bodies(0, 1), drain(t, l))
			require.NoError(t, l.Close())
			open(t, dir, withKeys(tc.reads...))
		})
	}
}

func TestAKeyOfAnotherLength(t *testing.T) {
	for _, n := range []int{0, 16, 31, 33} {
		dir := filepath.Join(t.TempDir(), "none")
		_, err := spool.Open(dir, sealedOptions(make([]byte, n)))
		require.Error(t, err)
		require.NoDirExists(t, dir)
	}
}

func TestAnotherVersion(t *testing.T) {
	c := newCrashed(t, nil)
	c.files[name(2)][11]++
	dir := directory(t, c.files)
	_, err := spool.Open(dir, options())
	require.ErrorIs(t, err, spool.ErrVersion)
	require.ErrorContains(t, err, name(2))
	require.Equal(t, c.files, snapshot(t, dir))
}
