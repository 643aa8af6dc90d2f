package dispatch_test

import (
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/dispatch"
)

// TestASearchGoesOnBehindWhatWasRead, unless that may be another log now or the
// call begins elsewhere.
func TestASearchGoesOnBehindWhatWasRead(t *testing.T) {
	for name, tc := range map[string]struct {
		meanwhile func(*testing.T, *log, *dispatch.Kafka)
		from      int64
		id        int
		read      []int64
	}{
		"nothing happened":             {id: 9, read: []int64{3, 4, 5}},
		"another event":                {id: 8, read: []int64{0, 1, 2, 3, 4, 5}},
		"from earlier on":              {id: 7, from: 0, read: []int64{0, 1, 2, 3, 4, 5}},
		"from later on, which is read": {id: 9, from: 2, read: []int64{3, 4, 5}},
		"from just behind":             {id: 9, from: 3, read: []int64{3, 4, 5}},
		"from later on":                {id: 9, from: 4, read: []int64{4, 5}},
		"it is long ago": {id: 9, read: []int64{0, 1, 2, 3, 4, 5}, meanwhile: func(_ *testing.T, _ *log, k *dispatch.Kafka) {
			k.AgeSearches()
		}},
		"another leader": {id: 9, read: []int64{0, 1, 2, 3, 4, 5}, meanwhile: func(t *testing.T, l *log, _ *dispatch.Kafka) {
			l.electAnother(t, func() {})
		}},
		"the log is shorter": {id: 9, read: []int64{0, 1}, meanwhile: func(_ *testing.T, l *log, _ *dispatch.Kafka) {
			l.change(func() { l.ids, l.highWatermark, l.end = l.ids[:2], 2, 2 })
		}},
	} {
		t.Run(name, func(t *testing.T) {
			l, k := newLog(t, 0, 1, 2, 3, 4, 5)
			l.findUntil(t, k, 0, 9, 3)
			l.findUntil(t, k, 1, 7, 3)
			if tc.meanwhile != nil {
				tc.meanwhile(t, l, k)
			}
			l.takeRead()
			requireFind(t, k, tc.from, tc.id, -1)
			require.Equal(t, tc.read, l.takeRead())
		})
	}
}

// TestAnUncleanElection: a leader that was not in sync cut the log, and has the
// record where another one was read.
func TestAnUncleanElection(t *testing.T) {
	cut := func(l *log) func() {
		return func() { l.ids, l.highWatermark, l.end = []int{0, 9, 10, 11, 12}, 5, 5 }
	}
	t.Run("between two calls", func(t *testing.T) {
		l, k := newLog(t, 0, 1, 2, 3, 4)
		l.findUntil(t, k, 0, 9, 3)
		l.electAnother(t, cut(l))
		requireFind(t, k, 0, 9, 1)
	})
	t.Run("during one", func(t *testing.T) {
		l, k := newLog(t, 0, 1, 2, 3, 4)
		var once sync.Once
		l.change(func() {
			l.during = func(offset int64) {
				if offset == 3 {
					once.Do(func() { l.electAnother(t, cut(l)) })
				}
			}
		})
		requireFind(t, k, 0, 9, 1)
		require.Equal(t, []int64{0, 1, 2, 3, 0, 1}, l.takeRead())
	})
}

// TestWhatLiesAboveTheHighWatermarkIsNotRead, although it comes with the rest: it
// may yet be another.
func TestWhatLiesAboveTheHighWatermarkIsNotRead(t *testing.T) {
	l, k := newLog(t, 0, 1, 2)
	l.change(func() { l.highWatermark = 2 })
	l.findUntil(t, k, 0, 9, 2)
	l.findUntil(t, k, 0, 2, 2)
	l.change(func() { l.ids, l.highWatermark = []int{0, 1, 9}, 3 })
	requireFind(t, k, 0, 9, 2)
	requireFind(t, k, 0, 2, -1)
}

// TestACallThatWaitsForTheReplicas does not hold up one whose record is there.
func TestACallThatWaitsForTheReplicas(t *testing.T) {
	l, k := newLog(t, 0, 1, 2)
	l.change(func() { l.highWatermark = 2 })
	waits := make(chan struct{})
	go func() {
		defer close(waits)
		requireFind(t, k, 0, 2, 2)
	}()
	await(t, func() bool { return k.Waiting(place) == 1 })
	requireFind(t, k, 0, 1, 1)
	require.Equal(t, 1, k.Waiting(place))
	l.change(func() { l.highWatermark = 3 })
	<-waits
}
