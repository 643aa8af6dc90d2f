package spool_test

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/spool"
)

// crashed is a spool as a crash finds it: full segments of groups, and a last
// one.
type crashed struct {
	files  map[string][]byte
	last   string  // name of the last file
	before int     // entries of the files before it
	frames []int64 // where the frames of the last file end
	marks  []int64 // where its marks end
}

const entriesOfCrashed = 15

// newCrashed has groups of one, two and three entries, in three segments.
func newCrashed(t *testing.T, key []byte) crashed {
	t.Helper()
	frame := int64(spool.FrameSize + len(body(0)))
	if key != nil {
		frame += 28 // nonce and tag
	}
	dir := t.TempDir()
	opts := sealedOptions(key)
	opts.SegmentBytes = spool.HeaderSize + 3*spool.FrameSize + 4*frame // groups of 3, 2 | 1, 1, 2 | 3, 1, 2
	l := open(t, dir, opts)
	var c crashed
	i := 0
	for _, n := range []int{3, 2, 1, 1, 2, 3, 1, 2} {
		addGroup(t, l, bodies(i, i+n)...)
		files := slices.Sorted(maps.Keys(snapshot(t, dir)))
		if last := files[len(files)-1]; last != c.last {
			c = crashed{last: last, before: i, marks: []int64{spool.HeaderSize + spool.FrameSize}}
		}
		at := c.marks[len(c.marks)-1]
		for range n {
			at += frame
			c.frames = append(c.frames, at)
		}
		c.marks = append(c.marks, at+spool.FrameSize)
		i += n
	}
	require.Equal(t, entriesOfCrashed, i)
	require.NoError(t, l.Close())
	c.files = snapshot(t, dir)
	require.Len(t, c.files, 3)
	require.Len(t, c.frames, 6)
	require.Len(t, c.files[c.last], int(c.marks[len(c.marks)-1]))
	return c
}

// with is the files with another last one.
func (c crashed) with(last []byte) map[string][]byte {
	files := maps.Clone(c.files)
	files[c.last] = last
	return files
}

// upTo counts the offsets that are not behind an end.
func upTo(offsets []int64, end int) (n int) {
	for _, o := range offsets {
		if o <= int64(end) {
			n++
		}
	}
	return n
}

// goesOn appends to a spool, opens it again, and reads everything.
func goesOn(t *testing.T, l *spool.Log, dir string, opts spool.Options, want []string) {
	t.Helper()
	require.Equal(t, len(want), l.Pending())
	add(t, l, "behind it")
	require.NoError(t, l.Close())
	l, told := openTold(t, dir, opts)
	require.Empty(t, told.String(), "it is told once")
	add(t, l, "and more")
	want = append(want, "behind it", "and more")
	require.Equal(t, want, contents(take(t, l, len(want))))
	require.NoError(t, l.Close())
}

func TestWhatWasSetAsideGoesWhenAllIsDone(t *testing.T) {
	c := newCrashed(t, nil)
	dir := directory(t, c.with(c.files[c.last][:c.frames[0]+3]))
	goesOn(t, open(t, dir, options()), dir, options(), bodies(0, c.before+1))
	drain(t, open(t, dir, options()))
	require.Empty(t, snapshot(t, dir))
}

func TestTheLastFileEndsAnywhere(t *testing.T) {
	for form, key := range keys {
		t.Run(form, func(t *testing.T) {
			c := newCrashed(t, key)
			whole := c.files[c.last]
			dir := t.TempDir()
			for end := range whole {
				files := c.with(whole[:end])
				fill(t, dir, files)
				if end < spool.HeaderSize {
					stops(t, dir, sealedOptions(key), c.last)
					continue
				}
				l, told := openTold(t, dir, sealedOptions(key))
				clean := end == spool.HeaderSize || slices.Contains(c.frames, int64(end)) || slices.Contains(c.marks, int64(end))
				require.Equal(t, !clean, bytes.Contains(told.Bytes(), []byte(c.last)), "ends at %d: %s", end, told)
				require.NotContains(t, told.String(), "entry 00", "what was in it is nobody's business")
				goesOn(t, l, dir, sealedOptions(key), bodies(0, c.before+upTo(c.frames, end)))
			}
		})
	}
}

func TestAPageOfTheLastWriteIsMissing(t *testing.T) {
	for form, key := range keys {
		t.Run(form, func(t *testing.T) {
			c := newCrashed(t, key)
			// The last group was not synced, so its mark was not written.
			whole := c.files[c.last][:c.frames[len(c.frames)-1]]
			from := int(c.marks[len(c.marks)-2])
			synced := c.before + upTo(c.frames, from)
			dir := t.TempDir()
			for to := from + 4; to <= len(whole); to++ { // the first three bytes of a length are zero anyway
				torn := slices.Clone(whole)
				clear(torn[from:to])
				fill(t, dir, c.with(torn))
				l, told := openTold(t, dir, sealedOptions(key))
				require.Contains(t, told.String(), c.last)
				goesOn(t, l, dir, sealedOptions(key), bodies(0, synced))
			}
			fill(t, dir, c.with(append(slices.Clone(whole), make([]byte, 4096)...)))
			l, told := openTold(t, dir, sealedOptions(key))
			require.Contains(t, told.String(), c.last, "a file that grew, and got no content")
			goesOn(t, l, dir, sealedOptions(key), bodies(0, entriesOfCrashed))
		})
	}
}

// stops opens a spool that must not open because of a file, and checks that
// nothing is touched.
func stops(t *testing.T, dir string, opts spool.Options, file string) *spool.CorruptError {
	t.Helper()
	before := snapshot(t, dir)
	_, err := spool.Open(dir, opts)
	var corrupt *spool.CorruptError
	require.ErrorAs(t, err, &corrupt)
	require.Equal(t, filepath.Join(dir, file), corrupt.File)
	require.GreaterOrEqual(t, corrupt.Offset, int64(0))
	require.LessOrEqual(t, corrupt.Offset, int64(len(before[file])))
	require.ErrorContains(t, err, fmt.Sprintf("%s is damaged at byte %d", corrupt.File, corrupt.Offset))
	require.Equal(t, before, snapshot(t, dir))
	return corrupt
}

// flip turns one bit of a file over.
func flip(t *testing.T, path string, bit int) {
	t.Helper()
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	require.NoError(t, err)
	var b [1]byte
	_, err = file.ReadAt(b[:], int64(bit/8))
	require.NoError(t, err)
	b[0] ^= 1 << (bit % 8)
	_, err = file.WriteAt(b[:], int64(bit/8))
	require.NoError(t, err)
	require.NoError(t, file.Close())
}

func TestAnyBitFlips(t *testing.T) {
	const version = 8 // its place in a header
	for form, key := range keys {
		t.Run(form, func(t *testing.T) {
			c := newCrashed(t, key)
			dir := directory(t, c.files)
			for file, whole := range c.files {
				path := filepath.Join(dir, file)
				for bit := range 8 * len(whole) {
					at := bit / 8
					flip(t, path, bit)
					switch {
					case version <= at && at < version+4:
						_, err := spool.Open(dir, sealedOptions(key))
						require.ErrorIs(t, err, spool.ErrVersion)
						require.ErrorContains(t, err, file)
					case at < len(whole)-spool.FrameSize:
						require.LessOrEqual(t, stops(t, dir, sealedOptions(key), file).Offset, int64(at))
					default:
						told := opensWith(t, dir, key, bodies(0, entriesOfCrashed))
						require.Equal(t, file == c.last, told != "", "the last mark of a full segment says nothing more")
					}
					flip(t, path, bit)
				}
			}
			require.Equal(t, c.files, snapshot(t, dir), "all that was opened touched nothing")
		})
	}
}

// opensWith checks what a spool holds. It returns what is logged.
func opensWith(t *testing.T, dir string, key []byte, want []string) string {
	t.Helper()
	l, told := openTold(t, dir, sealedOptions(key))
	require.Equal(t, want, contents(take(t, l, l.Pending())))
	require.NoError(t, l.Close())
	return told.String()
}

func TestABitOfTheUnsyncedGroupFlips(t *testing.T) {
	for form, key := range keys {
		t.Run(form, func(t *testing.T) {
			c := newCrashed(t, key)
			whole := c.files[c.last][:c.frames[len(c.frames)-1]]
			dir := directory(t, c.with(whole))
			for bit := 8 * int(c.marks[len(c.marks)-2]); bit < 8*len(whole); bit++ {
				flip(t, filepath.Join(dir, c.last), bit)
				told := opensWith(t, dir, key, bodies(0, c.before+upTo(c.frames, bit/8)))
				require.Contains(t, told, c.last)
				flip(t, filepath.Join(dir, c.last), bit)
			}
		})
	}
}
