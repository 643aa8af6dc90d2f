package main

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"strings"

	"awareid-gateway/internal/server"
)

// route is a request line around an authentic event.
type route struct {
	method, target string
	want           int
}

func routes() (all []route) {
	for _, target := range []string{
		"/", "/webhooks", "/webhooks/", "/webhooks/awarei", "/webhooks/awareidx", "/Webhooks/AwareID",
		server.Path + "/", server.Path + "//", server.Path + "/.", server.Path + "/..", server.Path + "/../awareid",
		server.Path + "/unknown", server.Path + "/%00", server.Path + "%00", server.Path + "%2f", server.Path + "%20",
		server.Path + ";a=b", server.Path + ".json", server.Path + "\\", server.Path + "%23", server.Path + "%3f",
		"//webhooks/awareid", "/webhooks//awareid", "/./webhooks/awareid", "/x/../webhooks/awareid",
		"/webhooks%2fawareid", "/webhooks/%61wareid", "/webhooks/awareid%0d%0aX:a", "/%2e/webhooks/awareid",
		"/..%2fwebhooks/awareid", "/webhooks\\awareid",
		"/metrics", "/livez", "/readyz", "/api", "/debug/pprof/", "/.env", "/" + strings.Repeat("a", 8000),
	} {
		all = append(all, route{"POST", target, http.StatusNotFound})
	}
	for _, target := range []string{"\\webhooks\\awareid", "webhooks/awareid"} { // no form of RFC 9112, section 3.2
		all = append(all, route{"POST", target, http.StatusBadRequest})
	}
	for _, method := range []string{"GET", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "post", "PURGE", "PRI"} {
		all = append(all, route{method, server.Path, http.StatusMethodNotAllowed})
	}
	return append(all,
		route{"POST", server.Path, http.StatusOK},
		route{"POST", server.Path + "?a=b&/webhooks/../", http.StatusOK},
		route{"POST", "http://gateway.example" + server.Path, http.StatusOK},
	)
}

// paths sends each on a connection of its own.
func paths(ctx context.Context, t target, r *report) {
	all := routes()
	g := t.ring()
	defer g.close()
	again(ctx, t, func() {
		for _, o := range all {
			id, event := newEvent(`{}`)
			s := seal(t.scheme(), event)
			a := g.exchange(ctx, s.request(o.method, o.target))
			r.judged(fmt.Sprintf("%s %.60s", o.method, o.target), o.want, a.status, a.body)
			if r.took(a.word(), id, event, s.body); o.want != http.StatusOK {
				r.forbid(id)
			}
		}
	})
	r.note("%d request lines", len(all))
}

// headers sends header sections beyond the limits, and expectations.
func headers(ctx context.Context, t target, r *report) {
	const beyond = 20_000 // bytes
	tooLarge := map[string]string{
		"a long value":     "X-A: " + strings.Repeat("a", beyond) + "\r\n",
		"a long name":      "X-" + strings.Repeat("a", beyond) + ": a\r\n",
		"many lines":       strings.Repeat("X-A: a\r\n", beyond/8),
		"many short names": strings.Repeat("a:\r\n", beyond/4),
	}
	g := t.ring()
	defer g.close()
	again(ctx, t, func() {
		for name, lines := range tooLarge {
			id, event := newEvent(`{}`)
			r.forbid(id)
			begin, rest, _ := strings.Cut(string(seal(t.scheme(), event).post()), "\r\n")
			a := g.exchange(ctx, []byte(begin+"\r\n"+lines+rest))
			r.judged(name, http.StatusRequestHeaderFieldsTooLarge, a.status, a.body)
		}
		a := g.exchange(ctx, []byte("POST /"+strings.Repeat("a", beyond)+" HTTP/1.1\r\nHost: gateway.example\r\n\r\n"))
		r.judged("a long target", http.StatusRequestHeaderFieldsTooLarge, a.status, a.body)
		expectations(ctx, t, r)
	})
}

// expectations are told to go on only where the header passes.
func expectations(ctx context.Context, t target, r *report) {
	w, err := t.dial(context.WithoutCancel(ctx), 99)
	if err != nil {
		r.wrong("Expect: %v", err)
		return
	}
	defer w.Close()
	id, event := newEvent(`{}`)
	s := seal(t.scheme(), event)
	header := maps.Clone(s.header)
	header.Set("Content-Length", fmt.Sprint(len(s.body)))
	header.Set("Expect", "100-continue")
	a := w.exchange([]byte(head("POST", server.Path+"/unknown", header)))
	r.judged("Expect on another path", http.StatusNotFound, a.status, a.body)

	if w, err = t.dial(context.WithoutCancel(ctx), 98); err != nil {
		r.wrong("Expect: %v", err)
		return
	}
	defer w.Close()
	if a = w.exchange([]byte(head("POST", server.Path, header))); a.status != http.StatusContinue {
		r.wrong("Expect: %s in place of 100", statusText(a.status))
		return
	}
	a = w.exchange(s.body)
	r.judged("Expect", http.StatusOK, a.status, a.body)
	r.took(a.word(), id, event, s.body)
}
