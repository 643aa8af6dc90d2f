package dispatch

import (
	"encoding/binary"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"awareid-gateway/internal/event"
)

// searches are those of all partitions, and what they have read for calls that
// are over: a call that comes again goes on behind it.
type searches struct {
	mu      sync.Mutex
	byPlace map[event.Place]*search

	memory *lru.Cache[subject, progress]
}

// subject is what was looked for, and where.
type subject struct {
	event.Place
	identity string
}

// progress says that nothing was found from first up to next. It holds in that
// epoch of the leader: see search.
type progress struct {
	epoch       int32
	first, next int64
	at          time.Time
}

const (
	// rememberAtMost bounds the memory to a few megabytes.
	rememberAtMost = 10_000
	// rememberFor is longer than what failed waits for its next attempt. It is
	// short, for a topic that is made anew begins with the first epoch again.
	rememberFor = 15 * time.Minute
)

func newSearches() *searches {
	memory, _ := lru.New[subject, progress](rememberAtMost) // fails for a size below 1 only
	return &searches{byPlace: map[event.Place]*search{}, memory: memory}
}

func (s *searches) of(k *Kafka, at event.Place) *search {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byPlace[at] == nil {
		s.byPlace[at] = &search{kafka: k, at: at, epoch: anyEpoch, halt: func() {}}
	}
	return s.byPlace[at]
}

// note remembers how far the reading came for a call that ends.
func (s *searches) note(at event.Place, w *wanted) {
	switch {
	case w.found:
		s.memory.Remove(w.subject(at))
	case w.epoch != anyEpoch && w.first < w.next:
		s.memory.Add(w.subject(at), progress{epoch: w.epoch, first: w.first, next: w.next, at: time.Now()})
	}
}

// recall takes over what was read for an earlier call, where that reaches from
// the beginning of this one into it.
func (s *searches) recall(at event.Place, w *wanted) {
	p, known := s.memory.Get(w.subject(at))
	if !known || p.epoch != w.epoch || time.Since(p.at) > rememberFor {
		return
	}
	if p.first <= w.first && w.first <= p.next && p.next <= w.end {
		w.first, w.next = p.first, p.next
	}
}

func (w *wanted) subject(at event.Place) subject {
	var b []byte
	for _, h := range w.headers {
		b = append(binary.AppendUvarint(b, uint64(len(h.Key))), h.Key...)
		b = append(binary.AppendUvarint(b, uint64(len(h.Value))), h.Value...)
	}
	return subject{Place: at, identity: string(b)}
}
