package spool_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/spool"
)

// BenchmarkAppend is a synced append of 1 KiB.
func BenchmarkAppend(b *testing.B) {
	for _, callers := range []int{1, 64} {
		for _, form := range []string{"open", "sealed"} {
			b.Run(fmt.Sprintf("%d/%s", callers, form), func(b *testing.B) {
				l := openBench(b, keys[form])
				var appending sync.WaitGroup
				for caller := range callers {
					appending.Go(func() {
						for i := caller; i < b.N; i += callers {
							appendBench(b, l)
						}
					})
				}
				appending.Wait()
			})
		}
	}
}

// BenchmarkAppendDone is the worst case: the spool empties behind each entry,
// so each makes and deletes a segment.
func BenchmarkAppendDone(b *testing.B) {
	l := openBench(b, nil)
	for b.Loop() {
		appendBench(b, l)
		e, err := l.Next(b.Context())
		require.NoError(b, err)
		require.NoError(b, l.Done(e.Sequence))
	}
}

// BenchmarkDrain reads entries of 1 KiB, and says that they are done.
func BenchmarkDrain(b *testing.B) {
	l := openBench(b, keys["sealed"])
	group := slices.Repeat([][]byte{benchBody}, 512)
	for b.Loop() {
		if l.Pending() == 0 {
			b.StopTimer()
			for range 40 {
				_, err := l.AppendGroup(group...)
				require.NoError(b, err)
			}
			b.StartTimer()
		}
		e, err := l.Next(b.Context())
		require.NoError(b, err)
		require.NoError(b, l.Done(e.Sequence))
	}
}

var benchBody = make([]byte, 1<<10)

func openBench(b *testing.B, key []byte) *spool.Log {
	b.Helper()
	l, err := spool.Open(b.TempDir(), spool.Options{MaxBytes: 1 << 34, Keys: keysOf(key)})
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, l.Close()) })
	b.SetBytes(int64(len(benchBody)))
	return l
}

func appendBench(b *testing.B, l *spool.Log) {
	if _, err := l.Append(b.Context(), benchBody); err != nil {
		b.Error(err)
	}
}
