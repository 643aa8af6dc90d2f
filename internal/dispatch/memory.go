package dispatch

import (
	"context"
	"fmt"
	"sync"
	"time"

	"awareid-gateway/internal/event"
)

// Memory is a store that can lose what it was told, and notices that. See
// store.Redis for its methods' promises.
type Memory interface {
	Memory(ctx context.Context) (event.Memory, error)
	Restored(ctx context.Context, id string, reach time.Duration) (bool, error)
	Lead(ctx context.Context, task, who string, lease time.Duration) (bool, error)
}

// recallMargin is what the clocks of the platform, the store, the gateways and
// the brokers are trusted not to differ by, together: an event that claims to be
// of a later time than that is quarantined.
const recallMargin = 10 * time.Minute

var (
	// errUnsettled: the store lost claims, and attempts that they belong to may
	// still be under way, or Kafka has not told yet what came of them.
	errUnsettled = fmt.Errorf("%w: the store has lost its memory, which is being restored", ErrUnknown)
	// errForgotten: the store may have forgotten this event.
	errForgotten = fmt.Errorf("%w: the store may have forgotten the event", ErrUnknown)
)

// memory knows how much the store remembers.
type memory struct {
	store Memory
	now   func() time.Time
	lost  func() // called, with the lock held, when the store has begun a new memory

	mu      sync.Mutex
	asked   uint64 // questions so far
	heard   uint64 // the one that was answered last
	present event.Memory
	since   time.Time     // when it began, by the own clock
	settled chan struct{} // closed while it reaches back
}

func newMemory(store Memory, now func() time.Time) *memory {
	return &memory{store: store, now: now, settled: make(chan struct{})}
}

// learn asks the store. Of answers that cross each other, the one to the later
// question counts.
func (m *memory) learn(ctx context.Context) error {
	m.mu.Lock()
	m.asked++
	question := m.asked
	m.mu.Unlock()
	got, err := m.store.Memory(ctx)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if question < m.heard {
		return nil
	}
	m.heard = question
	if got.ID != m.present.ID {
		m.since = m.now().Add(-got.Age)
		m.lost()
	}
	wasSettled := m.present.Reach > 0
	m.present = got
	switch settled := got.Reach > 0; {
	case settled && !wasSettled:
		close(m.settled)
	case !settled && wasSettled:
		m.settled = make(chan struct{})
	}
	return nil
}

// isSettled says that what the store does not know, for an event of late, is
// new.
func (m *memory) isSettled() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.present.Reach > 0
}

// awaitSettled returns when isSettled, or with the context's error.
func (m *memory) awaitSettled(ctx context.Context) error {
	m.mu.Lock()
	settled := m.settled
	m.mu.Unlock()
	select {
	case <-settled:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// vouches is nil where a claim that was granted in a memory is the first of an
// event that was created at a time: no earlier one can have been lost with its
// outcome. Else it is errUnsettled or errForgotten, or says that the store could
// not be asked.
func (m *memory) vouches(ctx context.Context, id string, created time.Time) error {
	if !m.is(id) {
		if err := m.learn(ctx); err != nil {
			return fmt.Errorf("%w: %w", ErrStore, err)
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.present.ID != id: // and so was lost again
		return errUnsettled
	case created.After(m.since.Add(recallMargin)):
		return nil
	case m.present.Reach == 0:
		return errUnsettled
	case created.Before(m.since.Add(recallMargin - m.present.Reach)):
		return errForgotten
	}
	return nil
}

func (m *memory) is(id string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.present.ID == id
}

// state returns the memory as it was last learned of, and when it began.
func (m *memory) state() (event.Memory, time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.present, m.since
}

// settledID is the id of a memory in which reading Kafka back finds what the
// store has forgotten, "" while there is none.
func (m *memory) settledID() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.present.Reach == 0 {
		return ""
	}
	return m.present.ID
}
