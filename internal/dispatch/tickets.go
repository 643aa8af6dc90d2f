package dispatch

import (
	"context"
	"errors"
	"fmt"
	"time"

	"awareid-gateway/internal/event"
)

const (
	// queueKeep is how long a queue outlives the replica that it waits for.
	queueKeep = 24 * time.Hour
	// publishBatch bounds one round trip of tickets.
	publishBatch = 512
	// publishTimeout is what an event waits for a store that seems to be away, and
	// how long after its receipt the store may give its ticket a time.
	publishTimeout = 250 * time.Millisecond
	maxTurns       = 256
	turnsTimeout   = 3 * time.Second
	// ghostAfter is when a request that seemed to fail can no longer arrive at
	// the store.
	ghostAfter = 10 * time.Second
)

// turn is a ticket that enters its queue, or leaves it.
type turn struct {
	ticket event.Ticket
	leaves bool
}

// ghost is a ticket that may turn up in its queue with nobody behind it.
type ghost struct {
	ticket event.Ticket
	due    time.Time // then it is taken out once more
}

// takeTurns answers each ticket that enters with where it stands.
func (s *spooler) takeTurns(ctx context.Context, turns []turn) ([]event.Standing, error) {
	ctx, cancel := context.WithTimeout(ctx, turnsTimeout)
	defer cancel()
	var in, out []event.Ticket
	var at []int
	for i, t := range turns {
		if t.leaves {
			out = append(out, t.ticket)
		} else {
			in, at = append(in, t.ticket), append(at, i)
		}
	}
	answers := make([]event.Standing, len(turns))
	if len(in) > 0 {
		standings, err := s.queues.Enqueue(ctx, in, queueKeep)
		if err != nil {
			return nil, err
		}
		for i, standing := range standings {
			answers[at[i]] = standing
		}
	}
	if len(out) > 0 {
		return answers, s.queues.Dequeue(ctx, out)
	}
	return answers, nil
}

// publish tells the store of a ticket. Where that fails it returns when the
// other replicas know that they do not know of everything in here: the sender
// must not go on to the operation's next event, which another replica might
// deliver first.
func (s *spooler) publish(ctx context.Context, mine *slip) error {
	ticket, told := s.ticketOf(mine)
	if told {
		return nil
	}
	telling := ctx
	if s.outage.storeIsDown() { // as far as is known; it may be back, and others may use it already
		var cancel context.CancelFunc
		telling, cancel = context.WithTimeout(ctx, publishTimeout)
		defer cancel()
	}
	standing, err := s.turns.Do(telling, turn{ticket: ticket})
	if err != nil {
		s.outage.storeFailed(err)
		s.miss(mine)
		return s.awaitSilence(ctx, mine, err)
	}
	if gone := s.notePublished(mine, standing); gone { // delivered meanwhile: nobody stands behind the ticket
		_, err := s.turns.Do(ctx, turn{ticket, true})
		return err
	}
	return nil
}

// ticketOf returns what the store is to be told, unless it knows, or need not.
func (s *spooler) ticketOf(mine *slip) (ticket event.Ticket, told bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return mine.toTell(), s.queues == nil || mine.ticket.Queue == "" || mine.published
}

// notePublished reports whether the entry has left the spool.
func (s *spooler) notePublished(mine *slip, standing event.Standing) (gone bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	mine.published, mine.timed, mine.ticket.At = true, true, standing.At
	s.note(mine)
	delete(s.missed, mine.ticket.ID)
	return s.mine[mine.ticket.ID] == nil
}

// miss notes that the store is to be told, as long as the entry is here.
func (s *spooler) miss(mine *slip) {
	s.mu.Lock()
	defer s.mu.Unlock()
	mine.doubtful, mine.timed = true, true
	if s.mine[mine.ticket.ID] != nil {
		s.missed[mine.ticket.ID] = mine
	}
}

// awaitSilence returns when the ticket is published, its entry delivered, or the
// lease of this replica over, so that the others wait for it. Else it is an
// error that says why the ticket is not published.
func (s *spooler) awaitSilence(ctx context.Context, mine *slip, why error) error {
	for {
		left := s.mayTalkFor(mine)
		if left <= 0 {
			return nil
		}
		if !pause(ctx, min(left, publishTimeout)) {
			return fmt.Errorf("tell the other replicas: %w", why)
		}
	}
}

// mayTalkFor is how long the other replicas may take it that everything in here
// is published, although this ticket is not, or the store may yet give it a time,
// or give one that is earlier than this ticket's to an event that comes later.
func (s *spooler) mayTalkFor(mine *slip) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.missed[mine.ticket.ID] == nil || s.others == nil {
		return 0
	}
	return max(s.others.remaining(), s.others.until(mine.ticket.At), publishTimeout-time.Since(mine.since))
}

// promise extends the lease of this replica unless something is not published.
func (s *spooler) promise(extend func() time.Time) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.unread > 0 || len(s.missed) > 0 {
		return time.Time{}
	}
	return extend()
}

// publishAll tells the store of every ticket that it has missed.
func (s *spooler) publishAll(ctx context.Context) error {
	if s.queues == nil {
		return nil
	}
	for {
		batch, tickets := s.someMissed()
		if len(batch) == 0 {
			break
		}
		standings, err := s.queues.Enqueue(ctx, tickets, queueKeep)
		if err != nil {
			return err
		}
		var gone []event.Ticket
		for i, mine := range batch {
			if s.notePublished(mine, standings[i]) {
				gone = append(gone, tickets[i])
			}
		}
		if err := s.leave(ctx, gone); err != nil {
			return err
		}
	}
	return s.leave(ctx, s.dueGhosts())
}

func (s *spooler) leave(ctx context.Context, tickets []event.Ticket) error {
	if len(tickets) == 0 {
		return nil
	}
	return s.queues.Dequeue(ctx, tickets)
}

func (s *spooler) someMissed() (batch []*slip, tickets []event.Ticket) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, mine := range s.missed {
		batch, tickets = append(batch, mine), append(tickets, mine.toTell())
		if len(batch) == publishBatch {
			break
		}
	}
	return batch, tickets
}

func (s *spooler) dueGhosts() (due []event.Ticket) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.ghosts) > 0 && time.Now().After(s.ghosts[0].due) {
		due = append(due, s.ghosts[0].ticket)
		s.ghosts = s.ghosts[1:]
	}
	return due
}

// republish has a store that has lost its memory told of everything.
func (s *spooler) republish() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, mine := range s.mine {
		if mine.ticket.Queue != "" && mine.onDisk {
			mine.published = false
			s.missed[id] = mine
		}
	}
}

var errNotFirst = errors.New("another replica has an earlier event of the operation")

// awaitTurn is nil when no earlier event of the operation waits elsewhere.
func (s *spooler) awaitTurn(ctx context.Context, p *parcel) error {
	if s.queues == nil || p.Ticket.Queue == "" {
		return nil
	}
	mine := s.slipOf(p)
	ticket, _ := s.ticketOf(mine)
	standing, err := s.turns.Do(ctx, turn{ticket: ticket})
	if err != nil {
		s.miss(mine)
		s.storeFailed(ctx, err)
		return err
	}
	s.notePublished(mine, standing)
	if !s.isMine(standing.First) {
		return errNotFirst
	}
	return nil
}

func (s *spooler) slipOf(p *parcel) *slip {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mine[p.Ticket.ID]
}

// isMine recognizes the tickets of this replica, whose own order is that of the
// spool.
func (s *spooler) isMine(ticket string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mine[ticket] != nil
}

// giveUpTurn lets those behind the entry go ahead.
func (s *spooler) giveUpTurn(ctx context.Context, p *parcel) error {
	if s.queues == nil || p.Ticket.Queue == "" {
		return nil
	}
	_, err := s.turns.Do(ctx, turn{p.Ticket, true})
	if err != nil {
		s.storeFailed(ctx, err)
	}
	return err
}

// storeFailed notes an error of the store, unless it comes of our own end.
func (s *spooler) storeFailed(ctx context.Context, err error) {
	if ctx.Err() == nil {
		s.outage.storeFailed(err)
	}
}
