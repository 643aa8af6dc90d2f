package dispatch

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"awareid-gateway/internal/event"
)

// lane writes to one partition: one batch at a time, and while that is under
// way the next one gathers. Nothing waits for a batch to fill. The goroutine
// that writes ends when there is nothing to write.
type lane struct {
	kafka *Kafka
	place event.Place
	next  atomic.Int64 // no record to come precedes this offset; -1: unknown
	ill   atomic.Int64 // when the last attempt failed, in Unix nanoseconds; 0: it did not

	epoch  atomic.Int32 // the newest of its leaders that was seen
	leader atomic.Int32 // the broker that led at the last look; noLeader: unknown

	mu      sync.Mutex
	queue   []*entry
	writing bool

	session session     // of the goroutine that writes
	answer  chan answer // to what it sent
}

// entry is a record that waits for its outcome.
type entry struct {
	record   Record
	size     int // encoded, without its length and its place in a batch
	at       time.Time
	deadline time.Time
	done     func(offset int64, err error)
}

func newEntry(r Record, deadline time.Time, done func(offset int64, err error)) *entry {
	return &entry{record: r, size: r.size(), at: time.Now(), deadline: deadline, done: done}
}

// noLeader is no broker's id.
const noLeader = -1

func newLane(k *Kafka, place event.Place) *lane {
	l := &lane{kafka: k, place: place, session: session{id: noProducer}, answer: make(chan answer, 1)}
	l.next.Store(-1)
	l.leader.Store(noLeader)
	return l
}

// sawEpoch notes an epoch of the leader, and returns the newest.
func (l *lane) sawEpoch(epoch int32) int32 {
	for {
		newest := l.epoch.Load()
		if newest >= epoch {
			return newest
		}
		if l.epoch.CompareAndSwap(newest, epoch) {
			return epoch
		}
	}
}

func (l *lane) end() int64 { return l.next.Load() }

// advance notes an end that an acknowledgement tells of.
func (l *lane) advance(end int64) {
	for {
		known := l.next.Load()
		if known >= end || l.next.CompareAndSwap(known, end) {
			return
		}
	}
}

// observe notes an end that a look found. It may go back: behind what was
// acknowledged meanwhile, which makes a read-back a little longer, or to the
// beginning, where the topic was made anew.
func (l *lane) observe(end int64) { l.next.Store(end) }

func (l *lane) append(e *entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.queue = append(l.queue, e)
	if !l.writing {
		l.writing = true
		go l.write()
	}
}

func (l *lane) write() {
	for batch, ok := l.take(); ok; batch, ok = l.take() {
		l.send(inTime(batch))
	}
}

// take returns the next batch, cut where the broker's limit for one would be
// passed. It is false when the goroutine is to end.
func (l *lane) take() ([]*entry, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.queue) == 0 {
		l.queue, l.writing = nil, false
		return nil, false
	}
	room := int(l.kafka.maxBatchBytes.Load()) - batchOverhead
	n := 0
	for n < len(l.queue) {
		room -= l.queue[n].maxSize()
		if room < 0 && n > 0 {
			break
		}
		n++
	}
	batch := l.queue[:n:n]
	l.queue = l.queue[n:]
	return batch, true
}

// inTime drops entries with less than half of their time left: they would make
// an end too soon for the whole batch. They were never sent.
func inTime(batch []*entry) []*entry {
	now := time.Now()
	kept := batch[:0]
	for _, e := range batch {
		if e.deadline.Sub(now) < e.deadline.Sub(e.at)/2 {
			e.done(0, fmt.Errorf("%w: waited too long for earlier records of its partition", ErrNotStored))
			continue
		}
		kept = append(kept, e)
	}
	return kept
}

// send writes a batch and tells every entry its outcome. A batch that the
// broker refuses for what is in it is sent again record by record, so that
// only the one at fault fails.
func (l *lane) send(batch []*entry) {
	if len(batch) == 0 {
		return
	}
	base, err := l.transmit(batch)
	switch {
	case err == nil:
		l.advance(base + int64(len(batch)))
		for i, e := range batch {
			e.done(max(base+int64(i), unknownOffset), nil)
		}
	case isRefusal(err) && len(batch) > 1:
		for i := range batch {
			l.send(batch[i : i+1])
		}
	default:
		for _, e := range batch {
			e.done(0, err)
		}
	}
}

// unknownOffset is the offset of a record of which the broker only said that it
// has it.
const unknownOffset = -1

// Waits between attempts at the same batch.
const (
	firstBackoff = 20 * time.Millisecond
	lastBackoff  = 500 * time.Millisecond
)

// transmit sends one batch, unchanged, until the broker accepts or refuses it
// or the first deadline in it is reached. Only a batch that certainly is not
// stored may go under a new session. It returns the offset of the first
// record, or an error of the kinds that Append names.
func (l *lane) transmit(batch []*entry) (int64, error) {
	deadline := earliest(batch)
	ctx, cancel := context.WithDeadline(context.Background(), deadline)
	defer cancel()
	var encoded []byte
	maybeStored := false
	for backoff := firstBackoff; ; backoff = min(2*backoff, lastBackoff) {
		if encoded == nil {
			if err := l.openSession(ctx); err != nil {
				return 0, err
			}
			encoded = encodeBatch(buffers.take(), batch, l.session, time.Now())
		}
		base, err := l.attempt(deadline, encoded)
		verdict := judge(err)
		l.noteHealth(verdict)
		if verdict == stored {
			l.session.sequence = nextSequence(l.session.sequence, len(batch))
			if !maybeStored { // else a connection without an answer may still read it
				buffers.give(encoded)
			}
			return base, nil
		}
		maybeStored = maybeStored || verdict == perhapsStored
		if verdict == brokenSession {
			l.session.open, encoded = false, nil
		}
		if !verdict.worthRetrying(maybeStored) || !pause(ctx, backoff) {
			return 0, l.giveUp(verdict, maybeStored, err)
		}
		if !brokerAnswered(err) {
			l.kafka.refresh()
		}
	}
}

// noteHealth remembers whether the partition takes records.
func (l *lane) noteHealth(v verdict) {
	switch v {
	case stored, refused:
		l.ill.Store(0)
	default:
		l.ill.Store(time.Now().UnixNano())
	}
}

// illFor is how long a failed attempt speaks for the partition when none is
// under way.
const illFor = time.Second

// failing says that the attempt under way, or the last one just now, failed.
func (l *lane) failing() bool {
	ill := l.ill.Load()
	if ill == 0 {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.writing || time.Since(time.Unix(0, ill)) < illFor
}

// giveUp words the outcome of a batch that was not acknowledged. Where it is
// unknown, the session ends with it: the broker may expect either sequence.
func (l *lane) giveUp(v verdict, maybeStored bool, err error) error {
	switch {
	case maybeStored:
		l.session.open = false
		return fmt.Errorf("%w: %w", ErrUnknown, err)
	case v == refused:
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return fmt.Errorf("%w: %w", ErrNotStored, err)
}

// attempt sends the batch once. Its time is a third of the whole, so that an
// answer that got lost leaves time to ask again.
func (l *lane) attempt(deadline time.Time, encoded []byte) (int64, error) {
	now := time.Now()
	whole := now.Add(l.kafka.opts.ProduceTimeout / 3)
	x := &shipment{place: l.place, encoded: encoded, deadline: whole, answer: l.answer}
	company := l.ill.Load() == 0 && deadline.After(whole)
	if !company && deadline.Before(whole) {
		x.deadline = deadline
	}
	if s := l.kafka.senderTo(l.leader.Load()); company && s != nil {
		s.send(x)
	} else {
		l.kafka.carry([]*shipment{x})
	}
	a := <-l.answer
	return a.base, a.err
}

func earliest(batch []*entry) time.Time {
	first := batch[0].deadline
	for _, e := range batch[1:] {
		if e.deadline.Before(first) {
			first = e.deadline
		}
	}
	return first
}

// pause waits for about d, and is false when there is no time left after it.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d/2 + rand.N(d)) // #nosec G404 -- nothing secret depends on it
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
