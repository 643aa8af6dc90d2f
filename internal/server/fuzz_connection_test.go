package server_test

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"awareid-gateway/internal/server"
	"awareid-gateway/internal/simulator"
)

// answerable are the statuses of docs/http.md for who is not authentic, and 100.
var answerable = []int{100, 400, 401, 404, 405, 408, 413, 415, 431, 503}

// FuzzConnection: whatever comes on a connection, what goes back is well-formed
// answers that docs/http.md has, none of them a 2xx: nobody but the platform can
// sign. Nothing is behind the server, so an event that is taken for authentic
// would end as a 500, as a panic does.
func FuzzConnection(f *testing.F) {
	for _, raw := range seedRequests() {
		f.Add([]byte(raw))
	}
	s := defaults(f, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	s.Webhooks = []server.Webhook{s.hook}
	s.Limits.ReadTimeout = 50 * time.Millisecond
	public, err := server.New(s.Options)
	if err != nil {
		f.Fatal(err)
	}
	path := filepath.Join(f.TempDir(), "s") // a socket that can be half closed, and takes no port
	l, err := net.Listen("unix", path)
	if err != nil {
		f.Fatal(err)
	}
	go public.Serve(l)
	f.Cleanup(func() { l.Close() })
	f.Fuzz(func(t *testing.T, raw []byte) {
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		go func() {
			c.Write(raw)
			c.(*net.UnixConn).CloseWrite()
		}()
		requireAnswers(t, c)
	})
}

// requireAnswers reads answers until the connection ends.
func requireAnswers(t *testing.T, c net.Conn) {
	r := bufio.NewReader(c)
	for {
		if _, err := r.Peek(1); err != nil {
			return
		}
		// Whether a HEAD is answered is not known here; its answer has no body.
		answer, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatalf("no answer: %v", err)
		}
		if !slices.Contains(answerable, answer.StatusCode) {
			t.Fatalf("status %d", answer.StatusCode)
		}
		if answer.StatusCode == 100 {
			continue
		}
		body, err := io.ReadAll(answer.Body)
		if errors.Is(err, io.ErrUnexpectedEOF) || !bytes.HasPrefix(body, []byte(`{"type":"about:blank"`)) {
			return // behind a HEAD
		}
	}
}

// seedRequests are those of the tables that need no gateway to be made.
func seedRequests() (raws []string) {
	for _, rest := range misframed {
		raws = append(raws, "POST "+server.Path+" HTTP/1.1\r\n"+rest)
	}
	for _, line := range requestLines {
		raws = append(raws, line+"\r\nHost: h\r\n\r\n")
	}
	for _, body := range badChunks {
		raws = append(raws, request("POST", server.Path, "Transfer-Encoding: chunked")+body)
	}
	for _, target := range targets {
		raws = append(raws, request("POST", target, "Content-Length: 0"))
	}
	forged := forged()
	return append(raws, forged, forged+forged+"bad\r\n\r\n", forged[:len(forged)-9], strings.Replace(forged, "POST", "GET", 1),
		request("POST", server.Path, "Expect: 100-continue", "Content-Length: 1")+"a",
		request("POST", server.Path, "Content-Encoding: gzip", "Content-Length: 1")+"a")
}

// forged is as large as a callback, and has one header that could sign it.
func forged() string {
	header := http.Header{simulator.DefaultSignatureHeader: {strings.Repeat("ab", 32)}, authKey: {authValue}, "Content-Type": {"application/json"}}
	return post(server.Path, header, []byte(`{"iv":"AAAAAAAAAAAAAAAA","p":"`+strings.Repeat("A", 1370)+`"}`))
}
