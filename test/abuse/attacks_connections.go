package main

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
)

func connectionAttacks() []attack {
	return []attack{
		{name: "idle connections", imitates: "10,000 connections that ask for something once, and stay",
			run: idle, answers: []int{http.StatusNotFound, none}},
		{name: "silent connections", imitates: "10,000 connections that never say a word",
			run: silent, answers: []int{http.StatusRequestTimeout, none}},
		{name: "churn", imitates: "connections that are made and closed at once, with and without a reset",
			run: churn, answers: []int{none}},
	}
}

// idleConnections are as many as HTTP_MAX_CONNECTIONS.
const idleConnections = 10_000

func idle(ctx context.Context, t target, r *report) {
	c := crowd{size: idleConnections, perAddress: crowdPerAddress, pause: churnPause}
	c.run(ctx, t, r, func(w *wire) int {
		a := w.exchange([]byte("GET /none HTTP/1.1\r\nHost: gateway.example\r\n\r\n"))
		w.stay()
		return a.status
	})
}

func silent(ctx context.Context, t target, r *report) {
	c := crowd{size: idleConnections, perAddress: crowdPerAddress, pause: churnPause}
	c.run(ctx, t, r, func(w *wire) int { return w.answer().status })
}

// churn has addresses enough that none runs out of ports.
func churn(ctx context.Context, t target, r *report) {
	const workers, addresses = 32, 200
	var all sync.WaitGroup
	var made atomic.Int64
	for worker := range workers {
		all.Go(func() {
			for i := worker; ctx.Err() == nil; i++ {
				w, err := t.dial(ctx, i%addresses)
				if err != nil {
					continue
				}
				if made.Add(1)%2 == 0 {
					w.SetLinger(0)
				}
				w.Close()
			}
		})
	}
	all.Wait()
	r.note("%d connections", made.Load())
}
