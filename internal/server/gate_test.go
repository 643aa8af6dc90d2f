package server_test

import (
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"

	"awareid-gateway/internal/server"
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

// TestStrangersStepAside for requests of the known, but not for long.
func TestStrangersStepAside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		known, stranger := server.Visits()
		waits := func() time.Duration {
			began := time.Now()
			stranger.Enter()
			defer stranger.Leave()
			return time.Since(began)
		}
		require.Zero(t, waits(), "nobody is at work")

		known.Begin()
		require.Equal(t, server.StepAside, waits(), "somebody is for long")
		require.Zero(t, waits(), "it has waited")
		time.Sleep(server.StepBack)
		require.Equal(t, server.StepAside, waits(), "and worked since")

		time.Sleep(server.StepBack)
		time.AfterFunc(server.StepAside/2, known.Leave)
		require.Equal(t, server.StepAside/2, waits(), "somebody is for a while")
		require.Zero(t, waits(), "who is no more")

		known.Begin()
		require.Equal(t, server.StepAside, waits(), "somebody begins anew, and it was told of the end before")
		known.Leave()
	})
}

// TestKnownAreAtWorkUntilAnswered, and strangers are answered nevertheless.
func TestKnownAreAtWorkUntilAnswered(t *testing.T) {
	b := newBackend(t)
	g := b.serve(t)
	known := g.dial(t)
	require.Equal(t, 200, known.send(g.valid(t)).answer(t).status)

	kafka := make(chan struct{})
	b.kafka.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		b.kafka.SleepControl(func() { <-kafka })
		return nil, nil, false
	})
	c := g.dial(t).send(g.valid(t))
	require.Eventually(t, func() bool { return g.KnownAtWork() == 1 }, 5*time.Second, time.Millisecond)
	require.Equal(t, 404, g.dialAs(t, elsewhere).ping(t))
	require.Equal(t, 1, g.KnownAtWork())
	close(kafka)
	require.Equal(t, 200, c.answer(t).status)
	require.Eventually(t, func() bool { return g.KnownAtWork() == 0 }, 5*time.Second, time.Millisecond)

	c.send("P")
	require.Eventually(t, func() bool { return g.KnownAtWork() == 0 }, 5*time.Second, time.Millisecond, "it waits for the rest")
	c.Close()
	known.Close()
	g.eventually(t, "gateway_connections", 0)
	require.Zero(t, g.KnownAtWork())
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
