package simulator

import (
	"cmp"
	"context"
	"slices"
	"sync"
)

// parcel is a sealed event on its way.
type parcel struct {
	event  Event
	fate   fate
	post   post // empty for a lost one
	forged post // empty where nothing is tampered with
}

// lanes deliver events of one operation one after the other, and a bounded number
// of operations at once. Only deliver is called from other goroutines than the
// caller's.
type lanes struct {
	deliver func(*parcel)
	slots   chan struct{}
	running sync.WaitGroup

	last map[string]chan struct{} // by operation: closed when its last batch is through
	held map[string]*parcel       // by operation: to be sent after the next event
}

func newLanes(slots int, deliver func(*parcel)) *lanes {
	return &lanes{
		deliver: deliver,
		slots:   make(chan struct{}, slots),
		last:    make(map[string]chan struct{}),
		held:    make(map[string]*parcel),
	}
}

// reserve takes the slot for the next add or release, or reports that ctx ended.
func (l *lanes) reserve(ctx context.Context) bool {
	select {
	case l.slots <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

func (l *lanes) release() { <-l.slots }

// add delivers a parcel in the reserved slot, or holds it back if it is to be
// overtaken and something may follow.
func (l *lanes) add(p *parcel) {
	token := p.event.OperationToken
	earlier := l.held[token]
	if earlier == nil && p.fate.reordered && !p.event.Last {
		l.held[token] = p
		l.release()
		return
	}
	p.fate.reordered = false
	if earlier == nil {
		l.start(p)
		return
	}
	delete(l.held, token)
	l.start(p, earlier)
}

// start delivers a batch of one operation in order, after what it sent before.
// The predecessor was started earlier, so it has its slot or had it: waiting for
// it while holding ours cannot lock up.
func (l *lanes) start(batch ...*parcel) {
	token := batch[0].event.OperationToken
	previous, done := l.last[token], make(chan struct{})
	l.last[token] = done
	if batch[0].event.Last {
		delete(l.last, token)
	}
	l.running.Go(func() {
		defer l.release()
		defer close(done)
		if previous != nil {
			<-previous
		}
		for _, p := range batch {
			l.deliver(p)
		}
	})
}

// finish delivers what is still held, the oldest first, and waits for all.
func (l *lanes) finish() {
	rest := make([]*parcel, 0, len(l.held))
	for _, p := range l.held {
		p.fate.reordered = false // nothing overtook it
		rest = append(rest, p)
	}
	slices.SortFunc(rest, func(a, b *parcel) int {
		return cmp.Compare(a.event.TransactionNum, b.event.TransactionNum)
	})
	for _, p := range rest {
		l.slots <- struct{}{}
		l.start(p)
	}
	l.running.Wait()
}
