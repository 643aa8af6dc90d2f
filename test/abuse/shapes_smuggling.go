package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"awareid-gateway/internal/server"
)

// frame is what follows the signature in the header of an authentic request: the
// rest of the header, and the body. {n} is the body's length, {body} the body and
// {chunks} the body in chunks.
type frame struct{ name, text string }

// frames leave the end of the request to the reader's taste. The answer is 400.
func frames() []frame {
	return []frame{
		{"two lengths that differ", "Content-Length: {n}\r\nContent-Length: 5\r\n\r\n{body}"},
		{"two lengths that differ, the shorter first", "Content-Length: 5\r\nContent-Length: {n}\r\n\r\n{body}"},
		{"two lengths that agree", "Content-Length: {n}\r\nContent-Length: {n}\r\n\r\n{body}"},
		{"a list of lengths", "Content-Length: {n}, {n}\r\n\r\n{body}"},
		{"a length with a sign", "Content-Length: +{n}\r\n\r\n{body}"},
		{"a length with a prefix", "Content-Length: 0x{n}\r\n\r\n{body}"},
		{"a negative length", "Content-Length: -{n}\r\n\r\n{body}"},
		{"a length that overflows", "Content-Length: 18446744073709551616{n}\r\n\r\n{body}"},
		{"an empty length", "Content-Length: \r\n\r\n{body}"},
		{"length and chunked", "Content-Length: {n}\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}"},
		{"chunked and length", "Transfer-Encoding: chunked\r\nContent-Length: {n}\r\n\r\n{chunks}"},
		{"chunked, and a length that ends before it", "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n{chunks}"},
		{"identity", "Transfer-Encoding: identity\r\nContent-Length: {n}\r\n\r\n{body}"},
		{"gzip", "Transfer-Encoding: gzip\r\n\r\n{body}"},
		{"gzip, chunked", "Transfer-Encoding: gzip, chunked\r\n\r\n{chunks}"},
		{"chunked, identity", "Transfer-Encoding: chunked, identity\r\n\r\n{chunks}"},
		{"chunked, chunked", "Transfer-Encoding: chunked, chunked\r\n\r\n{chunks}"},
		{"chunked twice", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}"},
		{"chunked and a coding nobody knows", "Transfer-Encoding: chunked\r\nTransfer-Encoding: cow\r\n\r\n{chunks}"},
		{"xchunked", "Transfer-Encoding: xchunked\r\nContent-Length: {n}\r\n\r\n{body}"},
		{"chunked behind a vertical tab", "Transfer-Encoding: \vchunked\r\n\r\n{chunks}"},
		{"chunked in quotes", "Transfer-Encoding: \"chunked\"\r\n\r\n{chunks}"},
		{"a blank before the colon", "Transfer-Encoding : chunked\r\nContent-Length: {n}\r\n\r\n{chunks}"},
		{"a tab before the colon", "Content-Length\t: {n}\r\n\r\n{body}"},
		{"a folded coding", "Content-Length: {n}\r\nTransfer-Encoding:\r\n chunked\r\n\r\n{chunks}"},
		{"a folded length", "Content-Length:\r\n {n}\r\n\r\n{body}"},
		{"a folded line of something else", "Content-Length: {n}\r\nX-A: a\r\n b\r\n\r\n{body}"},
		{"a length in a folded line", "X-A: a\r\n Content-Length: 5\r\nContent-Length: {n}\r\n\r\n{body}"},
		{"a bare line feed", "X-A: a\nContent-Length: {n}\r\n\r\n{body}"},
		{"bare line feeds only", "X-A: a\nContent-Length: {n}\n\n{body}"},
		{"a bare carriage return", "X-A: a\rContent-Length: 5\r\nContent-Length: {n}\r\n\r\n{body}"},
		{"NUL in a value", "X-A: a\x00b\r\nContent-Length: {n}\r\n\r\n{body}"},
		{"NUL in a name", "Content-Length\x00: {n}\r\n\r\n{body}"},
		{"a line without a colon", "X-A\r\nContent-Length: {n}\r\n\r\n{body}"},
		{"a line without a name", ": a\r\nContent-Length: {n}\r\n\r\n{body}"},
		{"a second host", "Host: elsewhere\r\nContent-Length: {n}\r\n\r\n{body}"},

		{"a chunk size that is none", "Transfer-Encoding: chunked\r\n\r\nx\r\n{body}\r\n0\r\n\r\n"},
		{"a chunk size with a sign", "Transfer-Encoding: chunked\r\n\r\n+1\r\n{\r\n0\r\n\r\n"},
		{"a chunk size with a prefix", "Transfer-Encoding: chunked\r\n\r\n0x1\r\n{\r\n0\r\n\r\n"},
		{"a chunk size that overflows", "Transfer-Encoding: chunked\r\n\r\n10000000000000001\r\n{\r\n0\r\n\r\n"},
		{"a negative chunk size", "Transfer-Encoding: chunked\r\n\r\n-1\r\n{\r\n0\r\n\r\n"},
		{"a chunk size that ends in a line feed", "Transfer-Encoding: chunked\r\n\r\n1\n{\r\n0\r\n\r\n"},
		{"a line feed in a chunk extension", "Transfer-Encoding: chunked\r\n\r\n1;a\nb\r\n{\r\n0\r\n\r\n"},
		{"a chunk that is too long", "Transfer-Encoding: chunked\r\n\r\n1\r\n{{{\r\n0\r\n\r\n"},
		{"a chunk that ends in a line feed", "Transfer-Encoding: chunked\r\n\r\n1\r\n{\n0\r\n\r\n"},
	}
}

// request is the frame around an authentic body.
func (f frame) request(s sealed) string {
	begin := strings.TrimSuffix(head("POST", server.Path, s.header), "\r\n")
	chunks := fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(s.body), s.body)
	return begin + strings.NewReplacer("{n}", fmt.Sprint(len(s.body)), "{body}", string(s.body), "{chunks}", chunks).Replace(f.text)
}

// smuggling sends two authentic events in one write. The first has an end in
// doubt: it is refused, and the second one must not be read at all.
func smuggling(ctx context.Context, t target, r *report) {
	all := frames()
	turn := 0
	again(ctx, t, func() {
		for _, f := range all {
			turn++
			visible, first := newEvent(`{}`)
			smuggled, second := newEvent(`{}`)
			r.forbid(visible)
			r.forbid(smuggled)
			raw := f.request(seal(t.scheme(), first)) + string(seal(t.scheme(), second).post())
			requireOneAnswer(ctx, t, r, f.name, raw, turn)
		}
	})
	r.note("%d shapes", len(all))
}

// requireOneAnswer wants 400 and the end of the connection.
func requireOneAnswer(ctx context.Context, t target, r *report, name, raw string, turn int) {
	w, err := t.dial(context.WithoutCancel(ctx), turn%100)
	if err != nil {
		r.judged(name, http.StatusBadRequest, none, err.Error())
		return
	}
	defer w.Close()
	a := w.exchange([]byte(raw))
	r.judged(name, http.StatusBadRequest, a.status, a.body)
	rest, err := w.rest()
	if err != nil {
		r.wrong("%s: %v", name, err)
	}
	if rest != "" {
		r.wrong("%s: behind the answer came %.100q", name, rest)
	}
}
