package server

import (
	"context"
	"net"
	"sync"

	"github.com/gofiber/fiber/v2"
)

// door is a Fiber app with the listener that it answers on. It may be shut
// before it is open: where the gateway stops while it starts, fasthttp's own
// Shutdown finds no listener, does nothing, and the app would answer for ever.
type door struct {
	app *fiber.App

	mu       sync.Mutex
	listener net.Listener
	served   chan struct{} // closed when serve has ended; nil: it never began
	shut     bool
}

// serve answers on a listener, which it closes, until stop. It may be called
// once.
func (d *door) serve(l net.Listener) error {
	d.mu.Lock()
	if d.shut {
		d.mu.Unlock()
		return l.Close()
	}
	d.listener, d.served = l, make(chan struct{})
	d.mu.Unlock()
	defer close(d.served)
	return d.app.Listener(l)
}

// close keeps serve from beginning. Where it has begun, the result is closed
// when it has ended; otherwise it is nil.
func (d *door) close() (served <-chan struct{}) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.shut = true
	return d.served
}

// stop closes the listener and waits for the requests that are under way, until
// the context ends.
func (d *door) stop(ctx context.Context) error {
	if d.close() != nil {
		defer d.listener.Close()
	}
	return d.app.ShutdownWithContext(ctx)
}
