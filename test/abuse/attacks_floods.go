package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"awareid-gateway/internal/simulator"
)

// floodConnections ask again as soon as they are answered.
const floodConnections = 64

func floods() []attack {
	refused := []int{http.StatusUnauthorized, http.StatusTooManyRequests}
	return []attack{
		{name: "forged, one address", imitates: "signatures that are wrong, from one address, which HTTP_RATE_PER_ADDRESS holds back",
			run: forged(1400, 1), answers: refused, atLeast: strength{Requests: 1000}},
		{name: "forged, many addresses", imitates: "the same from so many that no limit per address holds",
			run: forged(1400, floodConnections), answers: refused, atLeast: strength{Requests: 1000}},
		{name: "forged, large", imitates: "the same with 900 KB to be hashed each time",
			run: forged(bigBody, floodConnections), answers: append(refused, http.StatusServiceUnavailable), atLeast: strength{Requests: 100}},
		{name: "unsigned", imitates: "bodies without any signature",
			run: unsigned, answers: refused, atLeast: strength{Requests: 1000}},
	}
}

// forged posts what another secret signed and encrypted.
func forged(size, addresses int) func(context.Context, target, *report) {
	return func(ctx context.Context, t target, r *report) {
		t.Secret = newSecret()
		const variants = 16
		var requests [][]byte
		for range variants {
			_, event := newEvent(`"` + strings.Repeat("x", size*2/3) + `"`) // base64 adds a third and more
			requests = append(requests, seal(t.scheme(), event).post())
		}
		flood(ctx, t, r, addresses, requests)
	}
}

func unsigned(ctx context.Context, t target, r *report) {
	_, event := newEvent(`{}`)
	flood(ctx, t, r, floodConnections, [][]byte{seal(simulator.Scheme{Secret: t.Secret, Unsigned: true}, event).post()})
}

// flood sends the requests in turn over connections that are kept while the
// gateway keeps them.
func flood(ctx context.Context, t target, r *report, addresses int, requests [][]byte) {
	var all sync.WaitGroup
	var sent atomic.Int64
	began := time.Now()
	for i := range floodConnections {
		all.Go(func() {
			for ctx.Err() == nil {
				w, err := t.dial(ctx, i%addresses)
				if err != nil {
					if wait(ctx, dialPause) {
						r.answered(none)
					}
					continue
				}
				for last := false; !last && ctx.Err() == nil; {
					a := w.exchange(requests[int(sent.Add(1))%len(requests)])
					r.answered(a.status)
					last = a.last
				}
				w.Close()
			}
		})
	}
	all.Wait()
	r.note("%.0f requests a second", float64(sent.Load())/time.Since(began).Seconds())
}

func newSecret() string {
	var b [32]byte
	rand.Read(b[:]) // never fails (crypto/rand)
	return base64.StdEncoding.EncodeToString(b[:])
}
