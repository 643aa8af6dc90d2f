package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/simulator"
)

// TestStopPipelined stops a gateway while senders post one request behind the
// other without waiting for answers, so that requests arrive at every moment of
// the stop. An answer that ends the connection is the last one, and tells that
// nothing behind it was taken (RFC 9112, section 9.6); up to there no answer is
// missing.
func TestStopPipelined(t *testing.T) {
	t.Parallel()
	const senders, before = 16, 400
	s := newStack(t)
	g := s.ready(t, startProcess(t, s.environ(unhurried)))
	var all sync.WaitGroup
	var answered sync.Map
	var count atomic.Int64
	for range senders {
		all.Go(func() {
			p, err := g.pipeline()
			if err != nil {
				t.Error(err)
				return
			}
			defer p.close()
			if err := p.untilClosed(func(id string) {
				answered.Store(id, true)
				if count.Add(1) == before {
					g.stop()
				}
			}); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	require.Equal(t, exitOK, g.end(t), g.lastWords())
	require.GreaterOrEqual(t, count.Load(), int64(before))
	var want []string
	answered.Range(func(id, _ any) bool {
		want = append(want, id.(string))
		return true
	})
	require.ElementsMatch(t, want, ids(s.records(t)))
}

// pipeline is a connection with several requests under way.
type pipeline struct {
	conn  net.Conn
	sent  chan string // ids without an answer
	quit  chan struct{}
	ended sync.WaitGroup
}

// pipeline begins to post events, up to 8 ahead of their answers.
func (g *gateway) pipeline() (*pipeline, error) {
	conn, err := net.Dial("tcp", strings.TrimPrefix(g.url, "http://"))
	if err != nil {
		return nil, err
	}
	p := &pipeline{conn: conn, sent: make(chan string, 8), quit: make(chan struct{})}
	p.ended.Go(func() { p.send(simulator.Scheme{Secret: g.stack.hook.Secret}) })
	return p, conn.SetReadDeadline(time.Now().Add(2 * patience))
}

// send ends with the connection.
func (p *pipeline) send(scheme simulator.Scheme) {
	for {
		e := newSample("authentication.completed")
		body, header, err := scheme.Seal(e.body)
		if err != nil {
			return // then an answer is missing
		}
		select {
		case p.sent <- e.id:
		case <-p.quit:
			return
		}
		if _, err := p.conn.Write(onTheWire(header, body)); err != nil {
			return
		}
	}
}

// untilClosed reads answers up to the one that ends the connection, and the end.
func (p *pipeline) untilClosed(accepted func(id string)) error {
	r := bufio.NewReader(p.conn)
	for last := false; !last; {
		id := <-p.sent
		response, err := http.ReadResponse(r, nil)
		if err != nil {
			return fmt.Errorf("a request was cut: %w", err)
		}
		var a answer
		if err := json.NewDecoder(response.Body).Decode(&a); err != nil {
			return fmt.Errorf("an answer was cut: %w", err)
		}
		if response.StatusCode != http.StatusOK || a.Status != "accepted" || a.ID != id {
			return fmt.Errorf("answered %d %+v for %s", response.StatusCode, a, id)
		}
		accepted(id)
		last = response.Close
	}
	rest, err := io.ReadAll(r)
	if err != nil || len(rest) > 0 {
		return fmt.Errorf("behind the last answer: %q %w", rest, err)
	}
	return nil
}

func (p *pipeline) close() {
	_ = p.conn.Close()
	close(p.quit)
	p.ended.Wait()
}
