package dispatch

import (
	"context"
	"errors"
	"fmt"

	"github.com/segmentio/kafka-go"
)

// turn reads once.
func (s *search) turn(ctx context.Context, n int) error {
	for range 2 { // whoever comes while the first ones ask for the end reads with them
		if err := s.settle(ctx); err != nil {
			return err
		}
	}
	offset, epoch, ok := s.choose(n)
	if !ok {
		return nil
	}
	answer, err := s.kafka.fetchOnce(ctx, s.at, epoch, offset)
	switch {
	case err == nil:
		err = s.look(answer, offset)
	case errors.Is(err, kafka.OffsetOutOfRange):
		err = s.skipDeleted(ctx, offset, epoch)
	}
	if err != nil {
		s.doubtLeader()
	}
	return err
}

// settle asks where the log ends, for those who came since it was asked last:
// what was written before a call is to be found. Where there is another leader
// than before, that is everybody.
func (s *search) settle(ctx context.Context) error {
	fresh := s.unsettled()
	if len(fresh) == 0 {
		return nil
	}
	f, err := s.kafka.askFrontier(ctx, s.at)
	if err != nil {
		return err
	}
	starts, err := s.starts(ctx, f, fresh)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.epoch = f.epoch
	for _, w := range fresh {
		if !w.over && w.epoch != f.epoch {
			s.place(w, f, starts)
		}
	}
	s.dropOver()
	return nil
}

func (s *search) unsettled() []*wanted {
	s.mu.Lock()
	defer s.mu.Unlock()
	var fresh []*wanted
	for _, w := range s.waiting {
		if s.epoch == anyEpoch || w.epoch != s.epoch {
			fresh = append(fresh, w)
		}
	}
	return fresh
}

// starts are the offsets of the first records that are as young as somebody wants.
func (s *search) starts(ctx context.Context, f frontier, fresh []*wanted) (map[int64]int64, error) {
	starts := map[int64]int64{}
	for _, w := range fresh {
		if _, known := starts[w.since]; known || w.since == noTime || w.epoch == f.epoch {
			continue
		}
		offset, err := s.kafka.offsetAt(ctx, s.at, w.since, f)
		if err != nil {
			return nil, err
		}
		starts[w.since] = offset
	}
	return starts, nil
}

// place says from where to where a call is to read.
func (s *search) place(w *wanted, f frontier, starts map[int64]int64) {
	first := w.from
	if w.since != noTime {
		first = starts[w.since]
	}
	if first > f.end {
		first = 0
	}
	w.epoch, w.first, w.next, w.end, w.stalled = f.epoch, first, first, f.end, nil
	s.kafka.searches.recall(s.at, w)
	if w.next >= w.end {
		s.finish(w, 0, false)
	}
}

// choose says where to read next.
func (s *search) choose(n int) (offset int64, epoch int32, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.epoch == anyEpoch {
		return 0, 0, false
	}
	var chosen *wanted
	for _, w := range s.waiting {
		switch {
		case w.epoch != s.epoch: // it came a moment ago
		case chosen == nil,
			n%2 == 0 && w.end-w.next < chosen.end-chosen.next,
			n%2 == 1 && w.stalled == nil && chosen.stalled != nil:
			chosen = w
		}
	}
	if chosen == nil {
		return 0, 0, false
	}
	return chosen.next, chosen.epoch, true
}

// look searches what was read from an offset on.
func (s *search) look(answer *kafka.FetchResponse, offset int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.index == nil {
		s.index = indexOf(s.waiting)
	}
	next, err := walk(answer, offset, func(r *kafka.Record) error {
		for w := range s.index.matching(r.Headers) {
			if !w.over && w.epoch == s.epoch && w.next <= r.Offset {
				s.finish(w, r.Offset, true)
			}
		}
		return nil
	})
	if err == nil && next == offset {
		s.stall(offset, answer.HighWatermark)
		return nil
	}
	s.advance(offset, next)
	return err
}

// advance notes that all between two offsets was read.
func (s *search) advance(from, to int64) {
	for _, w := range s.waiting {
		if w.over || w.epoch != s.epoch || w.next < from || w.next >= to {
			continue
		}
		w.next, w.stalled = to, nil
		if w.next >= w.end {
			s.finish(w, 0, false)
		}
	}
	s.dropOver()
}

// stall notes that nothing came for those who wait at an offset.
func (s *search) stall(offset, highWatermark int64) {
	for _, w := range s.waiting {
		if w.epoch == s.epoch && w.next == offset {
			w.stalled = standstill(offset, highWatermark)
		}
	}
}

// skipDeleted leaves out what retention has deleted.
func (s *search) skipDeleted(ctx context.Context, offset int64, epoch int32) error {
	first, err := s.kafka.askOffset(ctx, consumer, kafka.FirstOffset, epoch, s.at)
	if err != nil {
		return err
	}
	if first <= offset {
		return fmt.Errorf("read at offset %d of a log that begins at %d: %w", offset, first, kafka.OffsetOutOfRange)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.advance(0, first)
	return nil
}

// doubtLeader has the leader found out anew ahead of the next turn.
func (s *search) doubtLeader() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.epoch = anyEpoch
}
