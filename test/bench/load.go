package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"math"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
	"golang.org/x/sync/errgroup"
)

// load is what a server is made to bear. Each connection is kept, and has one
// request at a time on its way.
type load struct {
	addr        string
	callbacks   []callback
	connections int
	length      time.Duration // at most
	rate        float64       // 0: a closed loop
	again       bool          // begin anew when all are sent, for who does not mind repeats
	judge       func(status int, answer []byte, sent callback) error
}

// outcome is what a load came to. All of it was as expected.
type outcome struct {
	sent    int
	elapsed time.Duration
	took    []time.Duration
}

// quantile sorts the times and returns the one that a share of them does not
// pass. They are counted, not estimated: a run is short enough to keep them all.
func quantile(took []time.Duration, share float64) time.Duration {
	if len(took) == 0 {
		return 0
	}
	slices.Sort(took)
	return took[max(0, int(math.Ceil(share*float64(len(took))))-1)]
}

// apply sends until the time is over or all is sent. Its error is the first
// answer that is not as expected.
func (l load) apply(ctx context.Context) (outcome, error) {
	conns, err := dialAll(l.addr, l.connections)
	if err != nil {
		return outcome{}, err
	}
	defer closeAll(conns)
	var next atomic.Int64
	var mu sync.Mutex
	var o outcome
	began := time.Now()
	group, ctx := errgroup.WithContext(ctx)
	for _, conn := range conns {
		group.Go(func() error {
			took, err := l.drive(ctx, conn, &next, began)
			mu.Lock()
			defer mu.Unlock()
			o.took = append(o.took, took...)
			return err
		})
	}
	err = group.Wait()
	o.elapsed, o.sent = time.Since(began), len(o.took)
	return o, err
}

// drive sends over one connection what is next of all.
func (l load) drive(ctx context.Context, conn net.Conn, next *atomic.Int64, began time.Time) ([]time.Duration, error) {
	took := make([]time.Duration, 0, 1<<10)
	reader := bufio.NewReader(conn)
	var response fasthttp.Response
	for {
		i := int(next.Add(1) - 1)
		if i >= len(l.callbacks) && !l.again {
			return took, nil
		}
		due := l.due(i, began)
		if due.Sub(began) >= l.length {
			return took, nil
		}
		if !sleepUntil(ctx, due) {
			return took, ctx.Err()
		}
		sent := l.callbacks[i%len(l.callbacks)]
		if err := l.exchange(conn, reader, &response, sent); err != nil {
			return took, err
		}
		took = append(took, time.Since(due))
	}
}

// due is when a request is to be sent: latency counts from then, so that the
// wait for a connection that is busy counts too.
func (l load) due(i int, began time.Time) time.Time {
	if l.rate == 0 {
		return time.Now()
	}
	return began.Add(time.Duration(float64(i) / l.rate * float64(time.Second)))
}

func sleepUntil(ctx context.Context, due time.Time) bool {
	if wait := time.Until(due); wait > 0 {
		time.Sleep(wait)
	}
	return ctx.Err() == nil
}

// answerTimeout is longer than any server here may take.
const answerTimeout = 15 * time.Second

func (l load) exchange(conn net.Conn, reader *bufio.Reader, response *fasthttp.Response, sent callback) error {
	conn.SetDeadline(time.Now().Add(answerTimeout))
	if _, err := conn.Write(sent.raw); err != nil {
		return fmt.Errorf("send %s: %w", sent.id, err)
	}
	if err := response.Read(reader); err != nil {
		return fmt.Errorf("answer to %s: %w", sent.id, err)
	}
	return l.judge(response.StatusCode(), response.Body(), sent)
}

// wantsOK is what bare Fiber has to say.
func wantsOK(status int, _ []byte, sent callback) error {
	if status != fasthttp.StatusOK {
		return fmt.Errorf("%s was answered %d", sent.id, status)
	}
	return nil
}

// wantsAccepted is what is said of an event that was new and that Kafka has.
func wantsAccepted(status int, answer []byte, sent callback) error {
	if status != fasthttp.StatusOK || !bytes.Contains(answer, []byte(`"accepted"`)) || !bytes.Contains(answer, []byte(sent.id)) {
		return fmt.Errorf("%s was answered %d %s", sent.id, status, answer)
	}
	return nil
}

// wantsTaken is what is said of an event that Kafka has or will have.
func wantsTaken(status int, answer []byte, sent callback) error {
	if status == fasthttp.StatusAccepted && bytes.Contains(answer, []byte(`"spooled"`)) {
		return nil
	}
	return wantsAccepted(status, answer, sent)
}

func dialAll(addr string, n int) (conns []net.Conn, err error) {
	for range n {
		conn, err := net.DialTimeout("tcp", addr, answerTimeout)
		if err != nil {
			closeAll(conns)
			return nil, err
		}
		conns = append(conns, conn)
	}
	return conns, nil
}

func closeAll(conns []net.Conn) {
	for _, c := range conns {
		c.Close()
	}
}
