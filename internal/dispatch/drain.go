package dispatch

import (
	"context"
	"errors"
	"time"
)

// start begins to drain.
func (s *spooler) start() {
	s.attempts, s.giveUp = context.WithCancel(context.Background())
	ctx, stop := context.WithCancel(s.attempts)
	s.stop = stop
	go s.drain(ctx)
}

// drain reads the spool from its beginning and gives each entry to the worker
// of its queue, until ctx ends.
func (s *spooler) drain(ctx context.Context) {
	defer close(s.ended)
	for {
		entry, err := s.log.Next(ctx)
		if err != nil {
			s.reportEnd(err)
			return
		}
		p, err := decodeParcel(entry.Sequence, entry.Body)
		if err != nil {
			s.reportEnd(err)
			return
		}
		if s.entries.Acquire(ctx, 1) != nil || s.bytes.Acquire(ctx, p.weight()) != nil {
			return
		}
		s.admit(ctx, p)
	}
}

// weight is the part of the window's bytes that a parcel takes.
func (p *parcel) weight() int64 { return min(p.size(), windowBytes) }

func (s *spooler) admit(ctx context.Context, p *parcel) {
	s.mu.Lock()
	defer s.mu.Unlock()
	queue := p.Ticket.Queue
	if s.unread > 0 { // read in order, so these come first
		s.readmit(p)
		if s.unread--; s.unread == 0 {
			s.read = nil
		}
	}
	if queue == "" {
		queue = "#" + p.ClaimKey // a queue of its own
	}
	s.chains[queue] = append(s.chains[queue], p)
	if len(s.chains[queue]) == 1 {
		s.workers.Go(func() { s.work(ctx, queue) })
	}
}

// readmit notes an entry of an earlier run. Whether that run told the store of
// it is not known. What has come in since the start is not ahead of it.
func (s *spooler) readmit(p *parcel) {
	s.expect(p.Ticket.Queue, 1)
	mine := s.enter(p, s.read[p.Ticket.Queue])
	s.read[p.Ticket.Queue] = mine.ticket.At
	mine.onDisk, mine.timed = true, true
	if s.queues != nil && p.Ticket.Queue != "" {
		s.missed[p.Ticket.ID] = mine
	}
}

// work delivers the entries of one queue, one after the other, until there is
// none in the window.
func (s *spooler) work(ctx context.Context, queue string) {
	for p := s.front(queue); p != nil; p = s.advance(queue) {
		if !s.deliver(ctx, p) {
			return
		}
	}
}

func (s *spooler) front(queue string) *parcel {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.chains[queue][0]
}

// advance forgets the front of a queue and returns the next.
func (s *spooler) advance(queue string) *parcel {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.chains[queue] = s.chains[queue][1:]; len(s.chains[queue]) == 0 {
		delete(s.chains, queue)
		return nil
	}
	return s.chains[queue][0]
}

// deliver tries until the entry is settled everywhere. It is false when the
// context ended before.
func (s *spooler) deliver(ctx context.Context, p *parcel) bool {
	for backoff := firstBackoff; ; backoff = min(2*backoff, 2*lastBackoff) {
		err := s.attempt(ctx, p)
		if err == nil {
			return true
		}
		if errors.Is(err, errNotFirst) {
			backoff = s.turnPause()
		}
		if !pause(ctx, backoff) {
			return false
		}
	}
}

// turnPause is how long to wait for a turn: short, as others hand over within
// moments, unless that many wait that their questions would keep the store busy.
func (s *spooler) turnPause() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return min(firstBackoff*time.Duration(1+len(s.chains)/drains), 2*lastBackoff)
}

func (s *spooler) attempt(ctx context.Context, p *parcel) error {
	if err := s.awaitStore(ctx); err != nil {
		return err
	}
	if err := s.slots.Acquire(ctx, 1); err != nil {
		return err
	}
	defer s.slots.Release(1)
	ctx, cancel := context.WithTimeout(s.attempts, drainTimeout)
	defer cancel()
	if s.others != nil && !s.others.clear(ctx) {
		return errAbsent
	}
	if err := s.awaitTurn(ctx, p); err != nil {
		return err
	}
	if err := s.try(ctx, p); err != nil {
		return err
	}
	return s.finish(ctx, p)
}

// awaitStore returns when the store is there and knows what is new.
func (s *spooler) awaitStore(ctx context.Context) error {
	if err := s.outage.awaitStore(ctx); err != nil || s.memory == nil {
		return err
	}
	return s.memory.awaitSettled(ctx)
}

// finish lets those behind the entry go ahead, and forgets it.
func (s *spooler) finish(ctx context.Context, p *parcel) error {
	if err := s.giveUpTurn(ctx, p); err != nil {
		return err
	}
	s.forget(p)
	s.entries.Release(1)
	s.bytes.Release(p.weight())
	if err := s.log.Done(p.sequence); err != nil {
		s.slog.Warn("a drained part of the spool could not be deleted", "error", err)
	}
	return nil
}
