package dispatch

import (
	"context"
	"errors"
	"fmt"
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
	Heads(ctx context.Context, queues []string) ([]string, error)
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
	// stopGrace is what an attempt at an entry gets when the drain is to end: one
	// that is cut short would hold up the next for a lease.
	stopGrace = 3 * time.Second
	// publishBatch bounds one round trip of tickets.
	publishBatch = 512
	// publishTimeout is what an event waits for a store that seems to be away.
	publishTimeout = 250 * time.Millisecond
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
	waiting     map[string]int          // entries by queue
	unread      int                     // entries of an earlier run whose queue is not known yet
	chains      map[string][]*parcel    // the window, by queue
	unpublished map[string]event.Ticket // that the store has not heard of, by id
	tickets     map[string]struct{}     // of what is in here
	keys        map[string]bool         // claims of what is in here: true once it is on disk

	workers  sync.WaitGroup
	appends  sync.WaitGroup
	stop     context.CancelFunc // nothing begins any more
	attempts context.Context    // of what has begun
	giveUp   context.CancelFunc
	ended    chan struct{}
}

func newSpooler(log *spool.Log, queues Queues, out *outage, logger *slog.Logger, try func(context.Context, *parcel) error) *spooler {
	return &spooler{
		log: log, queues: queues, try: try, outage: out, slog: logger,
		slots:   semaphore.NewWeighted(drains),
		entries: semaphore.NewWeighted(windowEntries),
		bytes:   semaphore.NewWeighted(windowBytes),
		waiting: map[string]int{}, chains: map[string][]*parcel{},
		unpublished: map[string]event.Ticket{}, keys: map[string]bool{}, tickets: map[string]struct{}{},
		unread: log.Pending(), ended: make(chan struct{}),
	}
}

// start begins to drain.
func (s *spooler) start() {
	s.attempts, s.giveUp = context.WithCancel(context.Background())
	ctx, stop := context.WithCancel(s.attempts)
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

// put returns when the parcel is on disk and every replica can know of it. What
// is there already adds nothing: a flood of one captured request must not fill
// the disk.
func (s *spooler) put(ctx context.Context, p *parcel) error {
	body, err := p.encode()
	if err != nil || s.announce(p) {
		return err
	}
	if err := s.append(ctx, p, body); err != nil {
		return err
	}
	return s.publish(ctx, p.Ticket)
}

// append waits for the disk until the context ends. An entry that is written
// after that is delivered all the same.
func (s *spooler) append(ctx context.Context, p *parcel, body []byte) error {
	written := make(chan error, 1)
	s.appends.Go(func() {
		_, err := s.log.Append(context.WithoutCancel(ctx), body)
		s.announced(p, err)
		written <- err
	})
	select {
	case err := <-written:
		return err
	case <-ctx.Done():
		return fmt.Errorf("wait for the spool's disk: %w", ctx.Err())
	}
}

// announce makes later events of the operation wait, and reports whether the
// parcel is on disk already.
func (s *spooler) announce(p *parcel) (there bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.keys[p.ClaimKey] {
		return true
	}
	s.keys[p.ClaimKey] = false
	s.tickets[p.Ticket.ID] = struct{}{}
	s.expect(p.Ticket.Queue, 1)
	return false
}

// announced notes that the parcel is on disk, or is not. It may be delivered
// and forgotten by now.
func (s *spooler) announced(p *parcel, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.expect(p.Ticket.Queue, -1)
		delete(s.keys, p.ClaimKey)
		delete(s.tickets, p.Ticket.ID)
	} else if _, here := s.keys[p.ClaimKey]; here {
		s.keys[p.ClaimKey] = true
	}
}

// expect counts entries of a queue; the caller has the lock.
func (s *spooler) expect(queue string, change int) {
	if queue == "" {
		return
	}
	if s.waiting[queue] += change; s.waiting[queue] == 0 {
		delete(s.waiting, queue)
	}
}

// publish tells the store of a ticket, or notes that it is to be told when it is
// back. Where a store that is there could not be told, that is an error: the
// sender must not go on to the operation's next event, which another replica
// might then deliver first.
func (s *spooler) publish(ctx context.Context, t event.Ticket) error {
	if s.queues == nil || t.Queue == "" {
		return nil
	}
	s.mu.Lock()
	s.unpublished[t.ID] = t
	s.mu.Unlock()
	away := s.outage.storeIsDown()
	if away { // as far as is known; it may be back, and others may use it already
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, publishTimeout)
		defer cancel()
	}
	switch err := s.queues.Enqueue(ctx, []event.Ticket{t}, queueKeep); {
	case err != nil && away:
		return nil
	case err != nil:
		s.outage.storeFailed(err)
		return fmt.Errorf("tell the other replicas: %w", err)
	}
	s.mu.Lock()
	delete(s.unpublished, t.ID)
	s.mu.Unlock()
	if !s.isMine(t.ID) { // delivered meanwhile: nobody stands behind the ticket
		return s.queues.Dequeue(ctx, []event.Ticket{t})
	}
	return nil
}

// publishAll tells a store that is back of every ticket it has missed.
func (s *spooler) publishAll(ctx context.Context) error {
	for batch := s.someUnpublished(); len(batch) > 0; batch = s.someUnpublished() {
		if err := s.queues.Enqueue(ctx, batch, queueKeep); err != nil {
			return err
		}
		s.mu.Lock()
		for _, t := range batch {
			delete(s.unpublished, t.ID)
		}
		s.mu.Unlock()
	}
	return nil
}

func (s *spooler) someUnpublished() []event.Ticket {
	s.mu.Lock()
	defer s.mu.Unlock()
	var batch []event.Ticket
	for _, t := range s.unpublished {
		if batch = append(batch, t); len(batch) == publishBatch {
			break
		}
	}
	return batch
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
		s.keys[p.ClaimKey] = true
		s.tickets[p.Ticket.ID] = struct{}{}
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
	ctx, cancel := context.WithTimeout(s.attempts, drainTimeout)
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
		s.storeFailed(ctx, err)
		return err
	}
	heads, err := s.queues.Heads(ctx, []string{p.Ticket.Queue})
	switch {
	case err != nil:
		s.storeFailed(ctx, err)
		return err
	case heads[0] != "" && !s.isMine(heads[0]):
		return errNotFirst
	}
	return nil
}

// isMine recognizes the tickets of this replica, whose own order is that of the
// spool.
func (s *spooler) isMine(ticket string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, mine := s.tickets[ticket]
	return mine
}

// storeFailed notes an error of the store, unless it comes of our own end.
func (s *spooler) storeFailed(ctx context.Context, err error) {
	if ctx.Err() == nil {
		s.outage.storeFailed(err)
	}
}

// finish lets those behind the entry go ahead, and forgets it.
func (s *spooler) finish(ctx context.Context, p *parcel) error {
	if s.queues != nil && p.Ticket.Queue != "" {
		if err := s.queues.Dequeue(ctx, []event.Ticket{p.Ticket}); err != nil {
			s.storeFailed(ctx, err)
			return err
		}
	}
	s.forget(p)
	s.entries.Release(1)
	s.bytes.Release(p.weight())
	if err := s.log.Done(p.sequence); err != nil {
		s.slog.Warn("a drained part of the spool could not be deleted", "error", err)
	}
	return nil
}

func (s *spooler) forget(p *parcel) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expect(p.Ticket.Queue, -1)
	delete(s.unpublished, p.Ticket.ID)
	delete(s.tickets, p.Ticket.ID)
	delete(s.keys, p.ClaimKey)
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
