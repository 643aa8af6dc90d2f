package spool_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/spool"
)

func TestEntriesComeBackInOrder(t *testing.T) {
	for form, key := range keys {
		t.Run(form, func(t *testing.T) {
			dir := t.TempDir()
			l := open(t, dir, sealedOptions(key))
			for i := range 40 {
				sequence, err := l.Append(t.Context(), []byte(body(i)))
				require.NoError(t, err)
				require.EqualValues(t, i, sequence)
			}
			require.Equal(t, 40, l.Pending())
			require.Equal(t, size(snapshot(t, dir)), l.Bytes())
			require.Greater(t, len(snapshot(t, dir)), 3, "several segments")

			entries := take(t, l, 40)
			require.Equal(t, bodies(0, 40), contents(entries))
			for i, e := range entries {
				require.EqualValues(t, i, e.Sequence)
				require.NoError(t, l.Done(e.Sequence))
				require.Equal(t, 39-i, l.Pending())
				require.Equal(t, size(snapshot(t, dir)), l.Bytes())
			}
			require.Empty(t, snapshot(t, dir))
			require.Zero(t, l.Bytes())
		})
	}
}

func TestEntriesComeBackAfterAReopen(t *testing.T) {
	for form, key := range keys {
		t.Run(form, func(t *testing.T) {
			dir := t.TempDir()
			l := open(t, dir, sealedOptions(key))
			add(t, l, bodies(0, 20)...)
			took := l.Bytes()
			require.NoError(t, l.Close())

			l = open(t, dir, sealedOptions(key))
			require.Equal(t, 20, l.Pending())
			require.Equal(t, took, l.Bytes())
			add(t, l, bodies(20, 30)...)
			require.Equal(t, bodies(0, 25), contents(take(t, l, 25)))
			require.NoError(t, l.Close())

			l = open(t, dir, sealedOptions(key))
			require.Equal(t, bodies(0, 30), drain(t, l))
			require.Empty(t, snapshot(t, dir))
			require.NoError(t, l.Close())

			l = open(t, dir, sealedOptions(key))
			require.Zero(t, l.Pending())
			add(t, l, "again")
			require.Equal(t, []string{"again"}, drain(t, l))
		})
	}
}

func TestDoneIsRememberedBySegments(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, options())
	add(t, l, bodies(0, 30)...)
	all := snapshot(t, dir)
	for _, e := range slices.Backward(take(t, l, 20)) {
		require.NoError(t, l.Done(e.Sequence))
	}
	require.Equal(t, 10, l.Pending())
	left := snapshot(t, dir)
	require.Less(t, len(left), len(all))
	require.NotContains(t, left, name(1))
	require.NoError(t, l.Close())

	l = open(t, dir, options())
	again := contents(take(t, l, l.Pending()))
	require.Equal(t, bodies(30-len(again), 30), again)
	require.GreaterOrEqual(t, len(again), 10, "what was not done comes again")
	require.Less(t, len(again), 30, "what was deleted does not")
}

func TestDoneOutOfOrderTwiceAndUnknown(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, options())
	add(t, l, bodies(0, 3)...)
	for _, sequence := range []uint64{2, 2, 99, 1, 2, 3, 1 << 63} {
		require.NoError(t, l.Done(sequence))
	}
	require.Equal(t, 1, l.Pending())
	require.NoError(t, l.Done(0))
	require.NoError(t, l.Done(0))
	require.Zero(t, l.Pending())
	require.Empty(t, snapshot(t, dir))

	add(t, l, body(3))
	require.Equal(t, 1, l.Pending(), "what was said of an entry before it was there does not count")
	require.Equal(t, []string{body(3)}, drain(t, l))
}

func TestNextPassesOverWhatIsDone(t *testing.T) {
	for title, done := range map[string][]uint64{
		"one":                {1},
		"the first segments": {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14},
		"all but the last":   {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18},
	} {
		t.Run(title, func(t *testing.T) {
			l := open(t, t.TempDir(), options())
			add(t, l, bodies(0, 20)...)
			want := bodies(0, 20)
			for _, sequence := range slices.Backward(done) {
				require.NoError(t, l.Done(sequence))
				want = slices.Delete(want, int(sequence), int(sequence)+1)
			}
			require.Equal(t, want, drain(t, l))

			add(t, l, body(20))
			require.NoError(t, l.Done(20))
			add(t, l, body(21))
			require.Equal(t, []string{body(21)}, drain(t, l), "what was deleted unread is passed over")
		})
	}
}

func TestBodiesOfAllSizes(t *testing.T) {
	for form, key := range keys {
		t.Run(form, func(t *testing.T) {
			dir := t.TempDir()
			l := open(t, dir, sealedOptions(key))
			var want []string
			for _, n := range []int{1, 7, 8, 9, 255, 256, 4096, 1 << 20} {
				want = append(want, string(make([]byte, n)))
			}
			add(t, l, want...)
			require.NoError(t, l.Close())
			require.Equal(t, want, drain(t, open(t, dir, sealedOptions(key))))
		})
	}
}

func TestAnEmptyBodyIsRefusedAlone(t *testing.T) {
	l := open(t, t.TempDir(), options())
	_, err := l.Append(t.Context(), nil)
	require.Error(t, err)
	outcomes, err := l.AppendGroup([]byte("a"), nil, []byte("b"))
	require.NoError(t, err)
	require.NoError(t, errors.Join(outcomes[0], outcomes[2]))
	require.Error(t, outcomes[1])
	require.Equal(t, []string{"a", "b"}, drain(t, l))
}

func TestFullIsForTheEntryAlone(t *testing.T) {
	dir := t.TempDir()
	opts := spool.Options{MaxBytes: 2000, SegmentBytes: 500}
	l := open(t, dir, opts)
	outcomes, err := l.AppendGroup([]byte("small"), make([]byte, 3000), []byte("small too"))
	require.NoError(t, err)
	require.NoError(t, errors.Join(outcomes[0], outcomes[2]))
	require.ErrorIs(t, outcomes[1], spool.ErrFull)
	require.Equal(t, 2, l.Pending())

	count := 2
	for err == nil {
		if _, err = l.Append(t.Context(), make([]byte, 50)); err == nil {
			count++
		}
		require.LessOrEqual(t, size(snapshot(t, dir)), opts.MaxBytes)
	}
	require.ErrorIs(t, err, spool.ErrFull)
	require.Greater(t, count, 20)
	require.Equal(t, count, l.Pending())

	entries := take(t, l, count)
	for _, e := range entries[:count/2] {
		require.NoError(t, l.Done(e.Sequence))
	}
	add(t, l, "there is room again")
	require.NoError(t, l.Close())

	l = open(t, dir, opts)
	got := drain(t, l)
	require.Equal(t, "there is room again", got[len(got)-1])
}

func TestASpoolFullAtOnceLeavesNothing(t *testing.T) {
	for title, limit := range map[string]int64{"no header": 10, "no entry": 100} {
		t.Run(title, func(t *testing.T) {
			dir := t.TempDir()
			l := open(t, dir, spool.Options{MaxBytes: limit})
			_, err := l.Append(t.Context(), make([]byte, 200))
			require.ErrorIs(t, err, spool.ErrFull)
			require.Empty(t, snapshot(t, dir))
			require.Zero(t, l.Bytes())
		})
	}
}

func TestTheDirectoryIsForTheOwnerAlone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made", "by [the] spool*?")
	l := open(t, dir, options())
	add(t, l, body(0))
	info, err := os.Stat(dir)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o700), info.Mode().Perm())
	for file := range snapshot(t, dir) {
		info, err := os.Stat(filepath.Join(dir, file))
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	}

	require.NoError(t, l.Close())
	l = open(t, dir, options())
	require.Equal(t, bodies(0, 1), drain(t, l), "its name is no pattern")
}

func TestSealedEntriesCannotBeReadOnDisk(t *testing.T) {
	for form, readable := range map[string]bool{"open": true, "sealed": false} {
		dir := t.TempDir()
		add(t, open(t, dir, sealedOptions(keys[form])), "a person's name")
		require.Equal(t, readable, bytes.Contains(snapshot(t, dir)[name(1)], []byte("a person's name")), form)
	}
}

func TestClosedIsClosed(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, options())
	add(t, l, body(0))
	require.NoError(t, l.Close())
	require.NoError(t, l.Close())

	_, err := l.Append(t.Context(), []byte("late"))
	require.ErrorIs(t, err, spool.ErrClosed)
	_, err = l.Next(t.Context())
	require.ErrorIs(t, err, spool.ErrClosed)
	require.ErrorIs(t, l.Done(0), spool.ErrClosed)
	require.Len(t, snapshot(t, dir), 1, "another process may have it by now")
}
