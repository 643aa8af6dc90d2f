package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"awareid-gateway/internal/server"
)

// pipelined is how many requests go out in one write.
const pipelined = 100

func pipelining(ctx context.Context, t target, r *report) {
	turn := 0
	again(ctx, t, func() {
		turn++
		pipeline(ctx, t, r, turn, pipelined)
		pipeline(ctx, t, r, turn, pipelined/2)
	})
	r.note("%d requests in a write", pipelined)
}

// pipeline sends events in one write, and reads the answers, which must come in
// their order. The one at an index, if it is among them, has two lengths: it is
// the last that is answered.
func pipeline(ctx context.Context, t target, r *report, turn, broken int) {
	w, err := t.dial(context.WithoutCancel(ctx), turn%100)
	if err != nil {
		r.wrong("pipelining: %v", err)
		return
	}
	defer w.Close()
	var raw strings.Builder
	var ids []string
	var events, bodies [][]byte
	for i := range pipelined {
		id, event := newEvent(`{}`)
		s := seal(t.scheme(), event)
		if i == broken {
			s.header["Content-Length"] = []string{"5", fmt.Sprint(len(s.body))}
			raw.WriteString(head("POST", server.Path, s.header) + string(s.body))
			continue
		}
		if i > broken {
			r.forbid(id)
		} else {
			ids, events, bodies = append(ids, id), append(events, event), append(bodies, s.body)
		}
		raw.Write(s.post())
	}
	go w.Write([]byte(raw.String())) // the answers may fill what is between us before all is sent
	for i, id := range ids {
		a := w.answer()
		r.judged("pipelined", http.StatusOK, a.status, a.body)
		r.took(a.word(), id, events[i], bodies[i])
		if got := a.said().ID; got != id {
			r.wrong("pipelined: answer %d is for another event", i)
		}
		if a.status == none {
			return
		}
	}
	if broken < pipelined {
		a := w.answer()
		r.judged("pipelined, two lengths", http.StatusBadRequest, a.status, a.body)
		if rest, err := w.rest(); rest != "" || err != nil {
			r.wrong("pipelined, two lengths: behind the answer came %.100q, %v", rest, err)
		}
	}
}
