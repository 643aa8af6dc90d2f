package main

import (
	"context"
	"net/http"
)

// shapeAttacks send what is meant to be read wrongly. Each has its stated answer,
// and is of full strength after one pass.
func shapeAttacks() []attack {
	return []attack{
		{name: "JSON suite", imitates: "the documents of nst/JSONTestSuite, signed and encrypted correctly: as events, and as an event's data", run: jsonSuite, atLeast: strength{Requests: 954}},
		{name: "content", imitates: "deep nesting, huge numbers, bytes that are no UTF-8, members twice, signed correctly", run: hostileContent, atLeast: strength{Requests: 53}},
		{name: "smuggling", imitates: "a request behind one whose end proxies disagree about", run: smuggling, atLeast: strength{Requests: 45}},
		{name: "paths", imitates: "targets that become ours by decoding or cleaning, and methods that are not ours", run: paths, atLeast: strength{Requests: 52}},
		{name: "headers", imitates: "headers too long and too many, and Expect", run: headers, atLeast: strength{Requests: 7}},
		{name: "pipelining", imitates: "100 events in one write, and one among them that ends the connection", run: pipelining, atLeast: strength{Requests: 100}},
	}
}

// again repeats a pass for the time that an attack lasts: once at least, and once
// only where it lasts for one pass.
func again(ctx context.Context, t target, pass func()) {
	for {
		if pass(); t.Length == 0 || ctx.Err() != nil {
			return
		}
	}
}

// ring is connections from different addresses that are used in turn, so that no
// limit per address holds.
type ring struct {
	target
	wires [16]*wire
	next  int
}

func (t target) ring() *ring { return &ring{target: t} }

func (g *ring) exchange(ctx context.Context, raw []byte) answer {
	i := g.next % len(g.wires)
	g.next++
	if g.wires[i] == nil {
		w, err := g.dial(context.WithoutCancel(ctx), i)
		if err != nil {
			return answer{status: none, body: err.Error()}
		}
		g.wires[i] = w
	}
	a := g.wires[i].exchange(raw)
	if a.last {
		g.wires[i].Close()
		g.wires[i] = nil
	}
	return a
}

func (g *ring) close() {
	for _, w := range g.wires {
		if w != nil {
			w.Close()
		}
	}
}

// post sends an event that is signed correctly, and judges the answer.
func (g *ring) post(ctx context.Context, r *report, name string, want int, id string, event []byte, s sealed) {
	a := g.exchange(ctx, s.post())
	r.judged(name, want, a.status, a.body)
	r.took(a.word(), id, event, s.body)
	if word := wordOf[want]; a.status == want && a.word() != word {
		r.wrong("%s: %q in place of %q", name, a.word(), word)
	}
}

// wordOf is what an answer to an authentic body says besides its status.
var wordOf = map[int]string{http.StatusOK: "accepted", http.StatusAccepted: "quarantined"}
