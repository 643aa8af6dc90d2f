package dispatch

import (
	"context"
	"sync"
)

const (
	// backlogBatch bounds one round trip.
	backlogBatch = 512
	// backlogLimit bounds what is remembered while the store is away.
	backlogLimit = 1 << 16
)

// backlog is what the store is to be told, in batches, behind the back of those
// who wait for an answer. A goroutine runs while there is something to tell.
type backlog[T any] struct {
	// tell returns when a batch is told, or given up, and soon after ctx ends.
	tell func(ctx context.Context, batch []T)
	// overflow is called, with the lock held, for each that there is no room for.
	overflow func()

	mu      sync.Mutex
	queue   []T
	telling int // how many were taken from the queue to be told
	running bool
	idle    chan struct{} // closed when nothing is left to tell

	ctx  context.Context // ends when close gives up
	stop context.CancelFunc
}

func newBacklog[T any](tell func(context.Context, []T), overflow func()) *backlog[T] {
	idle := make(chan struct{})
	close(idle)
	ctx, stop := context.WithCancel(context.Background()) // #nosec G118 -- close calls it
	return &backlog[T]{tell: tell, overflow: overflow, idle: idle, ctx: ctx, stop: stop}
}

// add never blocks.
func (b *backlog[T]) add(item T) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.queue) < backlogLimit {
		b.queue = append(b.queue, item)
	} else {
		b.overflow()
	}
	if !b.running {
		b.running = true
		b.idle = make(chan struct{})
		go b.run()
	}
}

func (b *backlog[T]) run() {
	for batch := b.take(); batch != nil; batch = b.take() {
		b.tell(b.ctx, batch)
	}
}

// take returns nil when the goroutine that calls it is to end.
func (b *backlog[T]) take() []T {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := min(len(b.queue), backlogBatch)
	b.telling = n
	if n == 0 {
		b.queue, b.running = nil, false
		close(b.idle)
		return nil
	}
	batch := b.queue[:n:n]
	b.queue = b.queue[n:]
	return batch
}

// close waits until the store knows everything, or until the context ends.
// Then nothing is told any more. It returns how many are left.
func (b *backlog[T]) close(ctx context.Context) int {
	defer b.stop()
	b.mu.Lock()
	idle := b.idle
	b.mu.Unlock()
	select {
	case <-idle:
	case <-ctx.Done():
	}
	return b.left()
}

// left counts what the store does not know yet.
func (b *backlog[T]) left() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.queue) + b.telling
}
