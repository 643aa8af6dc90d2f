package server_test

import (
	"bytes"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/server"
)

// TestForgedBodiesLeaveNothing: events that are read where forged bodies were, and that
// go to Kafka as they came, are what they were.
func TestForgedBodiesLeaveNothing(t *testing.T) {
	b := newBackend(t)
	g := b.serve(t)
	plain := g.scheme
	plain.Cipher = "none"
	const senders, each = 8, 25
	var mu sync.Mutex
	want := map[string]string{}
	var all sync.WaitGroup
	for range senders {
		all.Go(func() {
			for i := range each {
				id, body := newEvent()
				header, body := sealed(t, plain, body)
				forged := bytes.Repeat([]byte("f"), len(body)+i)
				if got := g.exchange(t, post(server.Path, header, forged)).status; got != 401 {
					t.Errorf("a forged body was answered %d", got)
				}
				if got := g.exchange(t, post(server.Path, header, body)).status; got != 200 {
					t.Errorf("an event was answered %d", got)
				}
				mu.Lock()
				want[id] = string(body)
				mu.Unlock()
			}
		})
	}
	all.Wait()
	got := map[string]string{}
	for _, r := range b.records(t) {
		for _, h := range r.Headers {
			if h.Key == "ce_id" {
				got[string(h.Value)] = string(r.Value)
			}
		}
	}
	require.Len(t, want, senders*each)
	require.Equal(t, want, got)
}
