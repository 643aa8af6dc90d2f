package dispatch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"awareid-gateway/internal/event"
)

// search reads one partition for all calls that wait for something in it. There
// is a goroutine only while somebody waits.
//
// It works in turns. A turn is one fetch, looked through for everything that is
// wanted from there on; calls that come meanwhile join before the next. Of two
// turns one is for the call with the least left to read, so that a long search
// does not hold up the short ones, and one is for the first call, so that it
// comes to an end: those that came during a long search then read together.
//
// What it knows holds for one leader's epoch, which every request names. Within
// it a log only grows, and what lies below the high watermark stays. When
// another leader comes, everything is read anew: one that was not in sync may
// have cut the log, and have other records where some were read already.
type search struct {
	kafka *Kafka
	at    event.Place

	mu      sync.Mutex
	waiting []*wanted // in the order of their calls
	index   index     // of those who wait; nil: to be made
	epoch   int32     // that is read in; anyEpoch: to be found out
	running bool
	halt    context.CancelFunc // ends the turn under way
	trouble error              // of the last turn; nil: it had none
}

// wanted is what one call looks for. The search's lock guards it until it is
// over.
type wanted struct {
	headers []event.Header
	from    int64
	since   int64 // in Unix milliseconds, in place of from; noTime: from counts

	epoch       int32 // that the offsets below hold in; anyEpoch: there are none yet
	first, next int64 // all from first up to next was read
	end         int64
	stalled     error // why the last turn for it did not get on; nil: it did

	over   bool          // there is an outcome, or nobody waits for it any more
	done   chan struct{} // closed when there is an outcome
	offset int64
	found  bool
}

// noTime is in place of a time where none is given.
const noTime = -1

func (s *search) join(w *wanted) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting = append(s.waiting, w)
	s.index = nil
	if !s.running {
		s.running = true
		go s.run()
	}
}

// leave ends the wait and says what held it up: nil where the outcome has come
// after all.
func (s *search) leave(w *wanted) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if w.over {
		return nil
	}
	s.kafka.searches.note(s.at, w)
	w.over = true
	s.dropOver()
	if len(s.waiting) == 0 {
		s.halt()
	}
	switch {
	case w.stalled != nil:
		return w.stalled
	case s.trouble != nil:
		return s.trouble
	case w.epoch == anyEpoch:
		return errors.New("the leader has not said yet where its log ends")
	}
	return fmt.Errorf("got as far as offset %d of %d", w.next, w.end)
}

// finish ends the wait with an outcome.
func (s *search) finish(w *wanted, offset int64, found bool) {
	w.offset, w.found, w.over = offset, found, true
	s.kafka.searches.note(s.at, w)
	close(w.done)
}

func (s *search) dropOver() {
	s.waiting = slices.DeleteFunc(s.waiting, func(w *wanted) bool { return w.over })
	s.index = nil
}

func (s *search) run() {
	backoff := firstBackoff
	for n := 0; ; n++ {
		ctx, ok := s.begin()
		if !ok {
			return
		}
		err := s.turn(ctx, n)
		if s.getsOn(err) {
			backoff = firstBackoff
			continue
		}
		if pause(ctx, backoff) && err != nil {
			s.kafka.refresh()
		}
		backoff = min(2*backoff, lastBackoff)
	}
}

// begin is false when nobody waits any more.
func (s *search) begin() (context.Context, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.halt()
	if len(s.waiting) == 0 {
		s.waiting, s.running, s.trouble = nil, false, nil
		return nil, false
	}
	ctx, halt := context.WithCancel(context.Background())
	s.halt = halt
	return ctx, true
}

// getsOn is false where the next turn would be as vain as the one that ended.
func (s *search) getsOn(err error) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.trouble = err
	moves := func(w *wanted) bool { return w.stalled == nil }
	return err == nil && (len(s.waiting) == 0 || slices.ContainsFunc(s.waiting, moves))
}
