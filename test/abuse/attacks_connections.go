package main

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
)

func connectionAttacks() []attack {
	return []attack{
		{name: "idle connections", imitates: "10,000 connections that replay one authentic event, and stay",
			run: idle, answers: []int{http.StatusOK, http.StatusServiceUnavailable, none}, atLeast: strength{Connections: idleConnections, Requests: idleConnections}},
		{name: "refused connections", imitates: "10,000 connections that ask for what is not there, and would stay",
			run: refused, answers: []int{http.StatusNotFound, none}, atLeast: strength{Connections: 2500}},
		{name: "silent connections", imitates: "12,000 connections that never say a word",
			run: silent, answers: []int{http.StatusRequestTimeout, none}, atLeast: strength{Connections: idleConnections}},
		{name: "churn", imitates: "connections that are made and closed at once, with and without a reset",
			run: churn, answers: []int{none}, atLeast: strength{Requests: 1000}},
	}
}

// idleConnections are more than find room by default: nine tenths of all places are for
// whom is no trusted proxy.
const (
	idleConnections   = 10_000
	silentConnections = 12_000
)

// idle connections were served, so that the gateway has no reason to end them. That
// the event is in Kafka once is seen at the end.
func idle(ctx context.Context, t target, r *report) {
	id, event := newEvent(`{}`)
	s := seal(t.scheme(), event)
	request := s.post()
	c := crowd{size: idleConnections, perAddress: crowdPerAddress, pause: churnPause}
	c.run(ctx, t, r, func(w *wire) int {
		a := w.exchange(request)
		r.took(a.word(), id, event, s.body)
		w.stay()
		return a.status
	})
}

// refused connections are ended as soon as three quarters of all places are taken.
func refused(ctx context.Context, t target, r *report) {
	c := crowd{size: idleConnections, perAddress: crowdPerAddress, pause: churnPause}
	c.run(ctx, t, r, func(w *wire) int {
		a := w.exchange([]byte("GET /none HTTP/1.1\r\nHost: gateway.example\r\n\r\n"))
		w.stay()
		return a.status
	})
}

func silent(ctx context.Context, t target, r *report) {
	c := crowd{size: silentConnections, perAddress: crowdPerAddress, pause: churnPause}
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
					if wait(ctx, dialPause) {
						r.answered(none)
					}
					continue
				}
				if made.Add(1)%2 == 0 {
					w.tcp.SetLinger(0)
				}
				w.Close()
			}
		})
	}
	all.Wait()
	r.made(int(made.Load()))
	r.note("%d connections", made.Load())
}
