package dispatch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"awareid-gateway/internal/batch"
	"awareid-gateway/internal/event"
	"awareid-gateway/internal/spool"
)

// Queues keep the events of an operation in order over all replicas while some
// of them wait in spools. See store.Redis for the promises of the methods.
type Queues interface {
	Enqueue(ctx context.Context, tickets []event.Ticket, keep time.Duration) ([]event.Standing, error)
	Dequeue(ctx context.Context, tickets []event.Ticket) error
}

const (
	// What is read ahead of what is done, in entries and bytes.
	windowEntries = 4096
	windowBytes   = 32 << 20
	// drains is how many operations are delivered at the same time.
	drains = 128
	// drainTimeout bounds one attempt at an entry.
	drainTimeout = 30 * time.Second
	// stopGrace is what an attempt at an entry gets when the drain is to end: one
	// that is cut short would hold up the next for a lease.
	stopGrace = 3 * time.Second
)

// spooler keeps deliveries on disk that cannot be settled now, and delivers
// them in order of their operation as soon as they can be. Everything that
// belongs to an operation with an entry in here waits behind that entry.
type spooler struct {
	log     *spool.Log
	queues  Queues      // nil: there is only this replica
	others  *attendance // nil: the same
	memory  *memory     // nil: the store forgets nothing
	try     func(ctx context.Context, p *parcel) error
	outage  *outage
	slog    *slog.Logger
	turns   *batch.Group[turn, event.Standing]
	slots   *semaphore.Weighted
	entries *semaphore.Weighted // of the window
	bytes   *semaphore.Weighted // of the window

	mu      sync.Mutex
	waiting map[string]int       // entries by queue
	latest  map[string]time.Time // time of their tickets, by queue
	last    map[string]*slip     // by queue
	unread  int                  // entries of an earlier run whose queue is not known yet
	read    map[string]time.Time // time of the latest ticket of those that are, by queue; nil without unread ones
	chains  map[string][]*parcel // the window, by queue
	slips   map[string]*slip     // of what is in here, by claim key
	mine    map[string]*slip     // the same, by ticket id
	missed  map[string]*slip     // that the store has to be told of, by ticket id
	ghosts  []ghost

	workers  sync.WaitGroup
	appends  sync.WaitGroup
	stop     context.CancelFunc // nothing begins any more
	attempts context.Context    // of what has begun
	giveUp   context.CancelFunc
	ended    chan struct{}
}

// slip says of an entry where it stands.
type slip struct {
	ticket    event.Ticket  // with the time of receipt, or the one that the store gave it
	timed     bool          // that time counts: the store is not to give it one
	since     time.Time     // this slip's beginning, by the own clock
	before    *slip         // what is written ahead of it, of the same queue; may be nil
	written   chan struct{} // closed when it is on disk, or is not
	onDisk    bool
	published bool // the store knows of the ticket
	doubtful  bool // the store may hear of the ticket late
}

// toTell is the ticket as the store is told of it. Of two events whose tickets
// the store has timed, the one that was answered first is ahead, whatever the
// replicas' clocks say.
func (mine *slip) toTell() event.Ticket {
	t := mine.ticket
	if !mine.timed {
		t.Within = publishTimeout
	}
	return t
}

func newSpooler(log *spool.Log, queues Queues, out *outage, logger *slog.Logger, try func(context.Context, *parcel) error) *spooler {
	s := &spooler{
		log: log, queues: queues, try: try, outage: out, slog: logger,
		slots:   semaphore.NewWeighted(drains),
		entries: semaphore.NewWeighted(windowEntries),
		bytes:   semaphore.NewWeighted(windowBytes),
		waiting: map[string]int{}, latest: map[string]time.Time{}, last: map[string]*slip{}, chains: map[string][]*parcel{},
		slips: map[string]*slip{}, mine: map[string]*slip{}, missed: map[string]*slip{},
		unread: log.Pending(), read: map[string]time.Time{}, ended: make(chan struct{}),
	}
	s.turns = batch.New(maxTurns, s.takeTurns)
	return s
}

// holds says whether an event of a queue has to wait in here.
func (s *spooler) holds(queue string) bool {
	if queue == "" {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.unread > 0 || s.waiting[queue] > 0
}

// put returns when the parcel is on disk and every replica can know of it. What
// is there already adds nothing: a flood of one captured request must not fill
// the disk.
func (s *spooler) put(ctx context.Context, p *parcel) error {
	body, err := p.encode()
	if err != nil {
		return err
	}
	mine, there := s.announce(p)
	if !there {
		if err := s.append(ctx, p, mine, body); err != nil {
			return err
		}
	}
	return s.publish(ctx, mine)
}

// append waits for the disk until the context ends. An entry that is written
// after that is delivered all the same.
func (s *spooler) append(ctx context.Context, p *parcel, mine *slip, body []byte) error {
	written := make(chan error, 1)
	s.appends.Go(func() {
		if mine.before != nil {
			<-mine.before.written // the order on disk is that of the tickets
		}
		_, err := s.log.Append(context.WithoutCancel(ctx), body)
		s.announced(p, mine, err)
		written <- err
	})
	select {
	case err := <-written:
		return err
	case <-ctx.Done():
		return fmt.Errorf("wait for the spool's disk: %w", ctx.Err())
	}
}

// announce makes later events of the operation wait. It reports whether the
// event is on disk already, and returns the slip that counts.
func (s *spooler) announce(p *parcel) (mine *slip, there bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if mine := s.slips[p.ClaimKey]; mine != nil && mine.onDisk {
		return mine, true
	}
	s.expect(p.Ticket.Queue, 1)
	mine = s.enter(p, s.latest[p.Ticket.Queue])
	if queue := p.Ticket.Queue; queue != "" {
		mine.before, s.last[queue] = s.last[queue], mine
	}
	return mine, false
}

// enter notes a parcel, behind the earlier ones of its queue, the latest of which
// has a ticket of that time: it may have been received before them, but must not
// stand for them ahead of what other replicas hold. The caller has the lock.
func (s *spooler) enter(p *parcel, latest time.Time) *slip {
	mine := &slip{ticket: p.Ticket, since: time.Now(), written: make(chan struct{})}
	if !mine.ticket.At.After(latest) {
		mine.ticket.At = latest.Add(time.Microsecond)
	}
	s.slips[p.ClaimKey], s.mine[p.Ticket.ID] = mine, mine
	s.note(mine)
	return mine
}

// note keeps the latest time of a queue; the caller has the lock.
func (s *spooler) note(mine *slip) {
	if queue := mine.ticket.Queue; s.waiting[queue] > 0 && mine.ticket.At.After(s.latest[queue]) {
		s.latest[queue] = mine.ticket.At
	}
}

// announced notes that the parcel is on disk, or is not. It may be delivered
// and forgotten by now.
func (s *spooler) announced(p *parcel, mine *slip, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	mine.onDisk, mine.before = err == nil, nil
	close(mine.written)
	if err != nil {
		s.forgetLocked(p)
	}
}

// expect counts entries of a queue; the caller has the lock.
func (s *spooler) expect(queue string, change int) {
	if queue == "" {
		return
	}
	if s.waiting[queue] += change; s.waiting[queue] == 0 {
		delete(s.waiting, queue)
		delete(s.latest, queue)
		delete(s.last, queue)
	}
}

func (s *spooler) forget(p *parcel) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if mine := s.mine[p.Ticket.ID]; mine != nil && mine.doubtful {
		s.ghosts = append(s.ghosts, ghost{p.Ticket, time.Now().Add(ghostAfter)})
	}
	s.forgetLocked(p)
}

func (s *spooler) forgetLocked(p *parcel) {
	s.expect(p.Ticket.Queue, -1)
	if s.slips[p.ClaimKey] == s.mine[p.Ticket.ID] {
		delete(s.slips, p.ClaimKey)
	}
	delete(s.mine, p.Ticket.ID)
	delete(s.missed, p.Ticket.ID)
}

// close ends the drain; what is not delivered stays on disk.
func (s *spooler) close() {
	s.stop()
	<-s.ended
	defer time.AfterFunc(stopGrace, s.giveUp).Stop()
	s.workers.Wait()
	s.giveUp()
	s.appends.Wait()
}

func (s *spooler) reportEnd(err error) {
	if !errors.Is(err, context.Canceled) && !errors.Is(err, spool.ErrClosed) {
		s.slog.Error("the spool cannot be drained any further; restart the gateway after mending it", "error", err)
	}
}
