package dispatch

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"awareid-gateway/internal/event"
	"awareid-gateway/internal/spool"
)

// Roster keeps a lease of each replica, by the clock of the store that the
// replicas share. See store.Redis for its methods' promises.
type Roster interface {
	Attend(ctx context.Context, who string, until time.Time) (event.Roster, error)
	Dismiss(ctx context.Context, who []string) error
	Leave(ctx context.Context, who string) error
}

const (
	beatEvery   = 400 * time.Millisecond
	beatTimeout = time.Second
	// attendFor is how long a replica that is heard of is trusted to spool
	// nothing that the others do not know of.
	attendFor = 2 * time.Second
	// dismissAfter is how long the others wait for a replica that is not heard
	// of: it may be gone for good, and what it has spooled with it.
	dismissAfter = 30 * time.Second
)

// farewell outlives a replica: that it has left the others, who go on without it.
type farewell interface {
	SetFarewell(said bool) error
}

// attendance keeps the order of operations while a replica cannot reach the
// store, where the others would see what it spools. A replica promises, by a
// lease, to answer for no event that it has not published: it does so only when
// the lease is over, and renews it only when everything is published. The
// others deliver as long as all leases last; once one has ended they spool what
// comes, until that replica is back or has stayed away for dismissAfter.
type attendance struct {
	roster   Roster
	who      string
	farewell farewell
	prepare  func(ctx context.Context) error // publishes what can be
	// promise calls extend, and returns what that returns, or calls nothing and
	// returns a zero time where something is not published.
	promise func(extend func() time.Time) time.Time
	failed  func(ctx context.Context, err error)
	log     *slog.Logger

	mu         sync.Mutex
	offset     time.Duration // from the own clock to the store's, at most
	offsetRTT  time.Duration // and at least this less
	offsetAt   time.Time
	storeTime  time.Time // as the store last told it
	toldAt     time.Time // and when it was told
	promised   time.Time // by the store's clock: the end of the own lease
	bound      time.Time // until then an earlier run's promise counts, if there is no own lease before
	clearUntil time.Time // until then no lease of others ends
	known      []string  // the others, as of the last answer
	expected   []string  // others that a store which has forgotten them will hear of again
	absent     map[string]time.Time
	lost       bool // the last beat failed, or there was none

	joined bool          // of the beat alone, as is
	listed bool          // that the store knows of the own lease
	looked chan struct{} // closed after the first beat
	stop   context.CancelFunc
	ended  chan struct{}
}

// newAttendance is for a replica that is bound for a time by what an earlier run
// has promised.
func newAttendance(roster Roster, who string, note farewell, bound time.Duration, log *slog.Logger) *attendance {
	return &attendance{
		roster: roster, who: who, farewell: note, log: log,
		bound: time.Now().Add(bound), absent: map[string]time.Time{}, lost: true,
		looked: make(chan struct{}), ended: make(chan struct{}),
	}
}

// boundBy is how long a replica on a spool has to heed what an earlier run has
// promised, unless it hears of the others. Those who were told not to wait for it
// will never do so; if the store is away for them as well, which cannot be known,
// they have stopped delivering by then.
func boundBy(log *spool.Log) time.Duration {
	switch {
	case log.Farewell():
		return dismissAfter
	case log.Fresh():
		return 0
	default:
		return attendFor
	}
}

func (a *attendance) start() {
	ctx, stop := context.WithCancel(context.Background())
	a.stop = stop
	go func() {
		defer close(a.ended)
		a.beat(ctx)
		close(a.looked)
		for pause(ctx, beatEvery) {
			a.beat(ctx)
		}
	}()
}

func (a *attendance) beat(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, beatTimeout)
	defer cancel()
	if err := a.tryBeat(ctx); err != nil {
		a.lose()
		a.failed(ctx, err)
	}
}

// lose notes that the store is not heard: nobody can be waited for meanwhile,
// and no longer lease be asked for, time and again and in vain.
func (a *attendance) lose() {
	a.mu.Lock()
	defer a.mu.Unlock()
	clear(a.absent)
	a.lost = true
}

func (a *attendance) tryBeat(ctx context.Context) error {
	if err := a.prepare(ctx); err != nil {
		return err
	}
	if a.isLost() {
		if err := a.look(ctx); err != nil {
			return err
		}
	}
	return a.ask(ctx, a.promise(a.extend))
}

// looks are how often the store's time is asked for at first: the quickest
// answer tells it best.
const looks = 3

// look learns the store's time before a lease is asked for.
func (a *attendance) look(ctx context.Context) error {
	for range looks {
		if err := a.ask(ctx, time.Time{}); err != nil {
			return err
		}
	}
	return nil
}

func (a *attendance) isLost() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.lost
}

// ask asks for a lease until a time, and hears of the others.
func (a *attendance) ask(ctx context.Context, until time.Time) error {
	sent := time.Now()
	roster, err := a.roster.Attend(ctx, a.who, until)
	if err != nil {
		return err
	}
	if a.listed && !roster.Knew {
		a.forgotten() // before its emptiness passes for news
	}
	a.listed = roster.Knew || !until.IsZero()
	gone := a.hear(roster, sent)
	if !until.IsZero() && !a.joined {
		a.join()
	}
	if len(gone) == 0 {
		return nil
	}
	a.log.Warn("replicas have not been heard of; nobody waits any longer for what they may have spooled", "replicas", gone)
	return a.roster.Dismiss(ctx, gone)
}

// join notes that the others hear of this replica, by its first lease.
func (a *attendance) join() {
	if err := a.farewell.SetFarewell(false); err != nil {
		a.log.Debug("the roster is joined, but for a note", "error", err)
		return // the next beat tries again
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.joined, a.bound = true, time.Time{}
}

// extend returns the end of a longer lease, by the store's clock. It is noted
// before it is asked for: the request may succeed although it seems to fail.
func (a *attendance) extend() time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.promised = a.now().Add(attendFor)
	return a.promised
}

// now is not ahead of the store's clock; the caller has the lock.
func (a *attendance) now() time.Time { return a.storeTime.Add(time.Since(a.toldAt)) }

// hear notes an answer to what was sent at a time, and returns who is to be
// waited for no longer.
func (a *attendance) hear(r event.Roster, sent time.Time) (gone []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.storeTime, a.toldAt, a.lost = r.Now, time.Now(), false
	a.compare(sent)
	clearFor := attendFor // somebody new says nothing earlier than that
	if !r.FirstEnd.IsZero() {
		clearFor = min(clearFor, r.FirstEnd.Sub(r.Now))
	}
	a.known = slices.Concat(r.Present, r.Absent)
	a.expected = slices.DeleteFunc(a.expected, func(who string) bool { return slices.Contains(a.known, who) })
	absent := slices.Concat(r.Absent, a.expected)
	maps.DeleteFunc(a.absent, func(who string, _ time.Time) bool { return !slices.Contains(absent, who) })
	for _, who := range absent {
		if since, known := a.absent[who]; !known {
			a.absent[who] = sent
		} else if sent.Sub(since) >= dismissAfter {
			gone = append(gone, who)
		}
	}
	a.expected = slices.DeleteFunc(a.expected, func(who string) bool { return slices.Contains(gone, who) })
	a.clearUntil = sent
	if len(gone) == len(absent) {
		a.clearUntil = sent.Add(clearFor)
	}
	return gone
}

// forgotten is told that the store has lost its memory, and the roster with it.
func (a *attendance) forgotten() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, who := range a.known {
		if !slices.Contains(a.expected, who) {
			a.expected = append(a.expected, who)
		}
	}
	a.clearUntil = time.Time{}
}

// A better comparison of the clocks is worth less than a new one after
// offsetAge, given that this one took no longer than offsetRTT.
const (
	offsetAge = 10 * time.Minute
	offsetRTT = 50 * time.Millisecond
)

// compare notes how far the clocks are apart, by the quickest answer of late;
// the caller has the lock.
func (a *attendance) compare(sent time.Time) {
	rtt := a.toldAt.Sub(sent)
	if a.offsetAt.IsZero() || rtt <= a.offsetRTT || rtt <= offsetRTT && sent.Sub(a.offsetAt) > offsetAge {
		a.offset, a.offsetRTT, a.offsetAt = a.storeTime.Sub(sent), rtt, sent
	}
}

// clear says that no other replica has answered for an event that it has not
// published.
func (a *attendance) clear(ctx context.Context) bool {
	select {
	case <-a.looked:
	case <-ctx.Done():
		return false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return time.Now().Before(a.clearUntil)
}

// remaining is how long the own lease lasts at most, or that of an earlier run.
func (a *attendance) remaining() time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	return max(a.promised.Sub(a.now()), time.Until(a.bound))
}

// until is how long it takes at most until the clock of the store shows a time.
// It is 0 where that clock is not known.
func (a *attendance) until(t time.Time) time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.toldAt.IsZero() {
		return 0
	}
	return max(0, t.Sub(a.now()))
}

// inStoreTime is a time of this replica by the clock that all share: not before
// what the store itself gave to an event that was answered before, and ahead by no
// more than an answer of the store took; see until.
func (a *attendance) inStoreTime(t time.Time) time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	return t.Add(a.offset)
}

// close leaves the roster, if everything is published.
func (a *attendance) close(ctx context.Context) {
	a.stop()
	<-a.ended
	if a.isLost() || a.prepare(ctx) != nil || a.promise(func() time.Time { return time.Unix(0, 1) }).IsZero() {
		return
	}
	if err := a.leave(ctx); err != nil {
		a.log.Debug("the roster could not be left", "error", err)
	}
}

// leave tells the others not to wait, and whoever comes after this run that they
// do not.
func (a *attendance) leave(ctx context.Context) error {
	if len(a.others()) > 0 {
		if err := a.farewell.SetFarewell(true); err != nil {
			return err
		}
	}
	return a.roster.Leave(ctx, a.who)
}

func (a *attendance) others() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Concat(a.known, a.expected)
}
