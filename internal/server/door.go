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
	shut     bool
}

// serve answers on a listener, which it closes, until stop.
func (d *door) serve(l net.Listener) error {
	d.mu.Lock()
	d.listener = l
	shut := d.shut
	d.mu.Unlock()
	if shut {
		return l.Close()
	}
	return d.app.Listener(l)
}

// stop closes the listener and waits for the requests that are under way, until
// the context ends.
func (d *door) stop(ctx context.Context) error {
	d.mu.Lock()
	d.shut = true
	l := d.listener
	d.mu.Unlock()
	if l != nil {
		defer l.Close()
	}
	return d.app.ShutdownWithContext(ctx)
}
