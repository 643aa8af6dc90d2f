package dispatch

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"awareid-gateway/internal/event"
	"awareid-gateway/internal/spool"
)

// Queues keep the events of an operation in order over all replicas while some
// of them wait in spools.
type Queues interface {
	Enqueue(ctx context.Context, tickets []event.Ticket, keep time.Duration) error
	First(ctx context.Context, tickets []event.Ticket) ([]bool, error)
	Dequeue(ctx context.Context, tickets []event.Ticket) error
}

const (
	// queueKeep is how long a queue outlives the replica that it waits for.
	queueKeep = 24 * time.Hour
	// What is read ahead of what is done, in entries and bytes.
	windowEntries = 4096
	windowBytes   = 32 << 20
	// drains is how many operations are delivered at the same time.
	drains = 128
	// drainTimeout bounds one attempt at an entry.
	drainTimeout = 30 * time.Second
	// publishBatch bounds one round trip of tickets.
	publishBatch = 512
)

// spooler keeps deliveries on disk that cannot be settled now, and delivers
// them in order of their operation as soon as they can be. Everything that
// belongs to an operation with an entry in here waits behind that entry.
type spooler struct {
	log     *spool.Log
	queues  Queues // nil: there is only this replica
	try     func(ctx context.Context, p *parcel) error
	outage  *outage
	slog    *slog.Logger
	slots   *semaphore.Weighted
	entries *semaphore.Weighted // of the window
	bytes   *semaphore.Weighted // of the window

	mu          sync.Mutex
	waiting     map[string]int       // entries by queue
	unread      int                  // entries of an earlier run whose queue is not known yet
	chains      map[string][]*parcel // the window, by queue
	unpublished []event.Ticket       // that the store has not heard of

	workers sync.WaitGroup
	stop    context.CancelFunc
	ended   chan struct{}
}

func newSpooler(log *spool.Log, queues Queues, out *outage, logger *slog.Logger, try func(context.Context, *parcel) error) *spooler {
	return &spooler{
		log: log, queues: queues, try: try, outage: out, slog: logger,
		slots:   semaphore.NewWeighted(drains),
		entries: semaphore.NewWeighted(windowEntries),
		bytes:   semaphore.NewWeighted(windowBytes),
		waiting: map[string]int{}, chains: map[string][]*parcel{},
		unread: log.Pending(), ended: make(chan struct{}),
	}
}

// start begins to drain.
func (s *spooler) start() {
	ctx, stop := context.WithCancel(context.Background())
	s.stop = stop
	go s.drain(ctx)
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

// put returns when the parcel is on disk and every replica can know of it.
func (s *spooler) put(ctx context.Context, p *parcel) error {
	body, err := p.encode()
	if err != nil {
		return err
	}
	s.expect(p.Ticket.Queue, 1)
	if _, err := s.log.Append(ctx, body); err != nil {
		s.expect(p.Ticket.Queue, -1)
		return err
	}
	s.publish(ctx, []event.Ticket{p.Ticket})
	return nil
}

func (s *spooler) expect(queue string, change int) {
	if queue == "" {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.waiting[queue] += change; s.waiting[queue] == 0 {
		delete(s.waiting, queue)
	}
}

// publish tells the store of tickets, now or when it is back.
func (s *spooler) publish(ctx context.Context, tickets []event.Ticket) {
	if s.queues == nil || tickets[0].Queue == "" {
		return
	}
	if !s.outage.storeIsDown() {
		err := s.queues.Enqueue(ctx, tickets, queueKeep)
		if err == nil {
			return
		}
		s.outage.storeFailed(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unpublished = append(s.unpublished, tickets...)
}

// publishAll tells a store that is back of every ticket it has missed.
func (s *spooler) publishAll(ctx context.Context) error {
	for {
		s.mu.Lock()
		batch := s.unpublished[:min(len(s.unpublished), publishBatch)]
		s.mu.Unlock()
		if len(batch) == 0 {
			return nil
		}
		if err := s.queues.Enqueue(ctx, batch, queueKeep); err != nil {
			return err
		}
		s.mu.Lock()
		s.unpublished = s.unpublished[len(batch):]
		s.mu.Unlock()
	}
}

// drain reads the spool from its beginning and gives each entry to the worker
// of its queue.
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

func (s *spooler) reportEnd(err error) {
	if !errors.Is(err, context.Canceled) && !errors.Is(err, spool.ErrClosed) {
		s.slog.Error("the spool cannot be drained any further; restart the gateway after mending it", "error", err)
	}
}

func (s *spooler) admit(ctx context.Context, p *parcel) {
	s.mu.Lock()
	defer s.mu.Unlock()
	queue := p.Ticket.Queue
	if s.unread > 0 { // read in order, so these come first
		s.unread--
		if queue != "" {
			s.waiting[queue]++
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
		if !pause(ctx, backoff) {
			return false
		}
	}
}

var errNotFirst = errors.New("another replica has an earlier event of the operation")

func (s *spooler) attempt(ctx context.Context, p *parcel) error {
	if err := s.outage.awaitStore(ctx); err != nil {
		return err
	}
	if err := s.slots.Acquire(ctx, 1); err != nil {
		return err
	}
	defer s.slots.Release(1)
	ctx, cancel := context.WithTimeout(ctx, drainTimeout)
	defer cancel()
	if err := s.awaitTurn(ctx, p); err != nil {
		return err
	}
	if err := s.try(ctx, p); err != nil {
		return err
	}
	return s.finish(ctx, p)
}

// awaitTurn is nil when no earlier event of the operation waits elsewhere.
func (s *spooler) awaitTurn(ctx context.Context, p *parcel) error {
	if s.queues == nil || p.Ticket.Queue == "" {
		return nil
	}
	tickets := []event.Ticket{p.Ticket}
	if err := s.queues.Enqueue(ctx, tickets, queueKeep); err != nil {
		s.outage.storeFailed(err)
		return err
	}
	first, err := s.queues.First(ctx, tickets)
	switch {
	case err != nil:
		s.outage.storeFailed(err)
		return err
	case !first[0]:
		return errNotFirst
	}
	return nil
}

// finish lets those behind the entry go ahead, and forgets it.
func (s *spooler) finish(ctx context.Context, p *parcel) error {
	if s.queues != nil && p.Ticket.Queue != "" {
		if err := s.queues.Dequeue(ctx, []event.Ticket{p.Ticket}); err != nil {
			s.outage.storeFailed(err)
			return err
		}
	}
	s.expect(p.Ticket.Queue, -1)
	s.entries.Release(1)
	s.bytes.Release(p.weight())
	if err := s.log.Done(p.sequence); err != nil {
		s.slog.Warn("a drained part of the spool could not be deleted", "error", err)
	}
	return nil
}

// close ends the drain; what is not delivered stays on disk.
func (s *spooler) close() {
	s.stop()
	<-s.ended
	s.workers.Wait()
}
