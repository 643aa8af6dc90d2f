package server_test

import (
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestStrangersWaitForEachOther: whom something authentic has come from does not wait
// with them.
func TestStrangersWaitForEachOther(t *testing.T) {
	overBoth(t, func(t *testing.T, b *backend) {
		g := b.serve(t)
		known := g.dial(t)
		require.Equal(t, 200, known.send(g.valid(t)).answer(t).status)

		empty := g.FillGate()
		defer empty()
		require.Equal(t, 200, known.send(g.valid(t)).answer(t).status, "over the same connection")
		require.Equal(t, 404, known.ping(t), "what is refused over it")
		require.Equal(t, 200, g.dial(t).send(g.valid(t)).answer(t).status, "from the same address")

		stranger := g.dialAs(t, elsewhere)
		answered := make(chan int, 1)
		go func() { answered <- stranger.send(g.valid(t)).answer(t).status }()
		require.Never(t, func() bool { return len(answered) > 0 }, 50*time.Millisecond, 10*time.Millisecond)
		empty()
		require.Equal(t, 200, <-answered)
	})
}

// TestRefusedStaysAStranger: what is not authentic introduces nobody, and leaves the
// gate when it is answered.
func TestRefusedStaysAStranger(t *testing.T) {
	g := newBackend(t).serve(t)
	c := g.dial(t)
	forged := strings.TrimSuffix(g.valid(t), "}") + " "
	require.Equal(t, 401, c.send(forged).answer(t).status)
	require.Eventually(t, func() bool { return g.AtGate() == 0 }, 5*time.Second, time.Millisecond)
	empty := g.FillGate()
	defer empty()
	answered := make(chan int, 1)
	go func() { answered <- c.send(forged).answer(t).status }()
	require.Never(t, func() bool { return len(answered) > 0 }, 50*time.Millisecond, 10*time.Millisecond)
	empty()
	require.Equal(t, 401, <-answered)
}

// TestManyStrangers have their turns, with many requests in a write each.
func TestManyStrangers(t *testing.T) {
	overBoth(t, func(t *testing.T, b *backend) {
		g := b.serve(t)
		const connections, requests = 50, 40
		answered := make(chan bool, connections)
		for range connections {
			go func() {
				c := g.dial(t).send(strings.Repeat(head("GET", "/", nil), requests))
				for range requests {
					if c.answer(t).status != 404 {
						answered <- false
						return
					}
				}
				answered <- true
			}()
		}
		for range connections {
			require.True(t, <-answered)
		}
	})
}

// TestUnreadAnswersAreFew: the system keeps little of what a peer does not read.
func TestUnreadAnswersAreFew(t *testing.T) {
	g := newBackend(t).serve(t, func(s *setUp) { s.Limits.ReadTimeout = 200 * time.Millisecond })
	raw, err := net.Dial("tcp", g.address)
	require.NoError(t, err)
	defer raw.Close()
	require.NoError(t, raw.(*net.TCPConn).SetReadBuffer(4<<10))
	const requests = 20_000
	_, _ = raw.Write([]byte(strings.Repeat(head("GET", "/", nil), requests))) // it is cut
	g.eventually(t, "gateway_connections", 0)
	require.Less(t, g.metric(`gateway_refusals_total{cause="path"}`), float64(requests/20))
}

// TestRepeatsIntroduceNobody: anyone can send one who has seen a callback.
func TestRepeatsIntroduceNobody(t *testing.T) {
	g := newBackend(t).serve(t)
	callback := g.valid(t)
	require.Equal(t, 200, g.dial(t).send(callback).answer(t).status)
	c := g.dialAs(t, elsewhere)
	require.Contains(t, c.send(callback).answer(t).body, "duplicate")
	require.False(t, g.Knows(c.LocalAddr()))
	require.Contains(t, c.send(g.valid(t)).answer(t).body, "accepted")
	require.True(t, g.Knows(c.LocalAddr()))
}

// TestShutdownDoesNotWaitForStrangers who have begun another request, and wait for a
// place, when its time is over.
func TestShutdownDoesNotWaitForStrangers(t *testing.T) {
	overBoth(t, func(t *testing.T, b *backend) {
		g := b.serve(t)
		stranger := g.dialAs(t, elsewhere)
		require.Equal(t, 404, stranger.ping(t))
		empty := g.FillGate()
		defer empty()
		stranger.send("P")
		stopped := make(chan error, 1)
		go func() { stopped <- within(50*time.Millisecond, g.Shutdown) }()
		select {
		case <-stopped:
		case <-time.After(10 * time.Second):
			t.Fatal("it does not end")
		}
	})
}
