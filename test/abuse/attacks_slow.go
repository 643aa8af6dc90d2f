package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"awareid-gateway/internal/server"
)

// bigBody is just below the cap of bodies.
const bigBody = 900_000

// crowdPerAddress is below HTTP_MAX_CONNECTIONS_PER_ADDRESS, so that it is other
// limits that hold.
const crowdPerAddress = 500

func slowAttacks() []attack {
	slow := []int{http.StatusRequestTimeout, none}
	return []attack{
		{name: "slow headers", imitates: "Slowloris: a header that never ends, a line a second",
			run: slowHeaders, answers: slow, atLeast: strength{Connections: 1900}},
		{name: "slow bodies", imitates: "R-U-Dead-Yet: a body that comes a byte a second",
			run: slowBodies, answers: slow, atLeast: strength{Connections: 1900}},
		{name: "slow chunks", imitates: "the same without a length",
			run: slowChunks, answers: slow, atLeast: strength{Connections: 1900}},
		{name: "announced bodies", imitates: "a length that reserves memory, and three bytes of it",
			run: announced, answers: slow, atLeast: strength{Connections: 3800}},
		{name: "held bodies", imitates: "all of a body but its last byte, large and small ones, to fill the memory for bodies",
			run: held, answers: []int{http.StatusRequestTimeout, http.StatusServiceUnavailable, none}, atLeast: strength{Connections: 200}},
		{name: "slow reading", imitates: "requests without end, and nobody who reads the answers",
			run: slowReading, answers: []int{none, http.StatusNotFound, http.StatusTooManyRequests}, atLeast: strength{Connections: 200}},
	}
}

func slowHeaders(ctx context.Context, t target, r *report) {
	c := crowd{size: 2000, perAddress: crowdPerAddress}
	c.run(ctx, t, r, func(w *wire) int {
		fmt.Fprintf(w, "POST %s HTTP/1.1\r\nHost: gateway.example\r\n", server.Path)
		return trickle(w, time.Second, func() []byte { return []byte("X-Again: and again\r\n") })
	})
}

func slowBodies(ctx context.Context, t target, r *report) {
	c := crowd{size: 2000, perAddress: crowdPerAddress}
	c.run(ctx, t, r, func(w *wire) int {
		fmt.Fprint(w, headOfLength(bigBody))
		return trickle(w, time.Second, func() []byte { return []byte("{") })
	})
}

func slowChunks(ctx context.Context, t target, r *report) {
	c := crowd{size: 2000, perAddress: crowdPerAddress}
	c.run(ctx, t, r, func(w *wire) int {
		fmt.Fprint(w, head("POST", server.Path, http.Header{"Transfer-Encoding": {"chunked"}}))
		return trickle(w, time.Second, func() []byte { return []byte("1\r\n{\r\n") })
	})
}

func announced(ctx context.Context, t target, r *report) {
	c := crowd{size: 4000, perAddress: crowdPerAddress}
	c.run(ctx, t, r, func(w *wire) int { return w.exchange([]byte(headOfLength(bigBody) + "{..")).status })
}

// held sizes are such that the small ones find room where the large ones find none.
func held(ctx context.Context, t target, r *report) {
	var requests [][]byte
	for _, size := range []int{bigBody, bigBody, 100_000, 10_000, 2000} {
		requests = append(requests, []byte(headOfLength(size)+strings.Repeat("{", size-1)))
	}
	c := crowd{size: 500, perAddress: 20, pause: time.Second}
	var turn atomic.Int64
	c.run(ctx, t, r, func(w *wire) int { return w.exchange(requests[int(turn.Add(1))%len(requests)]).status })
}

// slowReading comes from as many addresses as connections, so that it is not the
// rate of one that ends it. It reads one answer when the gateway has stopped to take requests: the
// first, or none where the connection was reset.
func slowReading(ctx context.Context, t target, r *report) {
	c := crowd{size: 500, perAddress: 1}
	request := []byte(strings.Repeat("GET /none HTTP/1.1\r\nHost: gateway.example\r\n\r\n", 100))
	c.run(ctx, t, r, func(w *wire) int {
		w.tcp.SetReadBuffer(1 << 10)
		for {
			w.SetWriteDeadline(time.Now().Add(exchangeTime))
			if _, err := w.Write(request); err != nil {
				return w.answer().status
			}
		}
	})
}

func headOfLength(n int) string {
	return head("POST", server.Path, http.Header{"Content-Length": {fmt.Sprint(n)}})
}
