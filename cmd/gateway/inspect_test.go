package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/server"
	"awareid-gateway/internal/simulator"
)

const (
	authKey   = "X-Callback-Auth"
	authValue = "Basic let-me-in"
)

// capture is one request as a packet dump or a request bin keeps it.
type capture struct {
	event  sample
	scheme simulator.Scheme
	body   []byte
	header http.Header
	file   string
}

// raw writes a capture, with any line end.
func (c capture) raw(t *testing.T, lineEnd string) []byte {
	t.Helper()
	var raw bytes.Buffer
	fmt.Fprintf(&raw, "POST %s HTTP/1.1\r\nHost: gateway.example.com\r\nUser-Agent: AwareID\r\nContent-Length: %d\r\n", server.Path, len(c.body))
	require.NoError(t, c.header.Write(&raw))
	return append(bytes.ReplaceAll(append(raw.Bytes(), "\r\n"...), []byte("\r\n"), []byte(lineEnd)), c.body...)
}

func (s *stack) capture(t *testing.T, name string, scheme simulator.Scheme) capture {
	t.Helper()
	scheme.Secret, scheme.AuthHeaderKey, scheme.AuthHeaderValue = s.hook.Secret, authKey, authValue
	c := capture{event: newSample("enrollment.completed"), scheme: scheme}
	c.body, c.header = seal(t, scheme, c.event.body)
	c.file = filepath.Join(t.TempDir(), name)
	c.write(t, "\r\n")
	return c
}

func (c capture) write(t *testing.T, lineEnd string) {
	t.Helper()
	require.NoError(t, os.WriteFile(c.file, c.raw(t, lineEnd), 0o600))
}

// captures are all schemes, and those that need a variable of their own.
func (s *stack) captures(t *testing.T, wrapping *rsa.PublicKey) map[string]capture {
	t.Helper()
	all := map[string]capture{}
	for name, scheme := range schemes(wrapping) {
		all[name] = s.capture(t, name, scheme)
	}
	for _, cipher := range []string{"gcm", "gcm16", "bare-gcm"} {
		all["plaintext "+cipher] = s.capture(t, "plaintext "+cipher, simulator.Scheme{Cipher: cipher, Covers: "plaintext", Encoding: "base64"})
		all["unsigned "+cipher] = s.capture(t, "unsigned "+cipher, simulator.Scheme{Cipher: cipher, Unsigned: true})
	}
	return all
}

// wantVariables are what a gateway needs to be told for a scheme, sorted.
func wantVariables(s simulator.Scheme) []string {
	if s.Unsigned {
		return []string{"SIGNATURE_REQUIRED=false"}
	}
	form, covers := "base64", "body"
	if s.Form != "" {
		form = s.Form
	}
	if s.Covers != "" {
		covers = s.Covers
	}
	return []string{"SECRET_FORM=" + form, "SIGNATURE_COVERS=" + covers, "SIGNATURE_HEADER=" + http.CanonicalHeaderKey(signatureHeader(s))}
}

// wantBody is how the comment names a cipher.
func wantBody(s simulator.Scheme) string {
	switch {
	case s.Cipher == "none":
		return "plaintext"
	case s.PublicKey != nil:
		return "under a key wrapped with "
	}
	return " under secret 1"
}

// TestInspect finds the variables for a capture of each scheme. A gateway that
// is started with them takes the very same request.
func TestInspect(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	public, private := wrappingKey(t)
	byVariables := map[string][]capture{}
	for name, c := range s.captures(t, public) {
		t.Run(name, func(t *testing.T) {
			r := runToEnd(t, append(secretOf(s), private), "inspect", c.file)
			require.Equal(t, exitOK, r.code, r.err)
			comments, variables := lines(r.out)[:3], lines(r.out)[3:]
			require.Equal(t, wantVariables(c.scheme), variables)
			require.True(t, strings.HasPrefix(comments[0], "# signature  "), comments[0])
			require.Contains(t, comments[1], wantBody(c.scheme))
			require.Regexp(t, `^# event      enrollment\.completed, created 20\S+, with a transaction number$`, comments[2])
			requireNothingPrivate(t, s, c, r.out+r.err)
			c.write(t, "\n") // as some tools write what they captured
			require.Equal(t, r, runToEnd(t, append(secretOf(s), private), "inspect", c.file))
			byVariables[strings.Join(variables, "\n")] = append(byVariables[strings.Join(variables, "\n")], c)
		})
	}
	for variables, captures := range byVariables {
		environ := append(strings.Split(variables, "\n"), "AWAREID_AUTH_HEADER_KEY="+authKey, "AWAREID_AUTH_HEADER_VALUE="+authValue)
		if !strings.Contains(variables, "plaintext") && !strings.Contains(variables, "REQUIRED=false") {
			environ = append(environ, private)
		}
		g := s.serve(t, environ...)
		for _, c := range captures {
			requireAnswer(t, http.StatusOK, "accepted", c.event.id, g.post(t, "", c.body, c.header))
		}
		require.Equal(t, exitOK, g.end(t))
	}
}

func requireNothingPrivate(t *testing.T, s *stack, c capture, printed string) {
	t.Helper()
	for _, private := range []string{s.hook.Secret, authValue, username, c.event.id, c.event.operation, "transactionNum\"", string(c.body)} {
		require.NotContains(t, printed, private)
	}
	for name, values := range c.header {
		if name != "Content-Type" {
			require.NotContains(t, printed, values[0])
		}
	}
}

func TestInspectJSON(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	c := s.capture(t, "capture", simulator.Scheme{Hash: "sha512", Encoding: "base64", Form: "raw"})
	r := runToEnd(t, secretOf(s), "inspect", "--json", c.file)
	require.Equal(t, exitOK, r.code, r.err)
	var found findings
	require.NoError(t, json.Unmarshal([]byte(r.out), &found))
	require.Equal(t, "header X-Aware-Signature: base64 of HMAC-SHA512 over the body, keyed with the characters of secret 1", found.Signature)
	require.Equal(t, map[string]string{"SIGNATURE_HEADER": "X-Aware-Signature", "SECRET_FORM": "raw", "SIGNATURE_COVERS": "body"}, found.Variables)
	requireNothingPrivate(t, s, c, r.out)
}

// TestInspectOldSecret names the place of the secret in the list.
func TestInspectOldSecret(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	c := s.capture(t, "capture", simulator.Scheme{})
	r := runToEnd(t, []string{"AWAREID_WEBHOOK_SECRETS=" + newDevWebhook().Secret + "," + s.hook.Secret + "@2020-01-01T00:00Z"}, "inspect", c.file)
	require.Equal(t, exitOK, r.code, r.err)
	require.Contains(t, r.out, "decoded bytes of secret 2")
	require.Contains(t, r.out, " under secret 2")
}

// TestInspectGzip unpacks what says that it is gzipped, within bounds.
func TestInspectGzip(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	inspect := func(c capture, body []byte) findings {
		c.body = body
		signed, header, err := simulator.Scheme{Secret: s.hook.Secret, Cipher: "none"}.Seal(body)
		require.NoError(t, err)
		require.Equal(t, body, signed)
		c.header = header
		c.header.Set("Content-Encoding", "GZIP")
		c.write(t, "\r\n")
		r := runToEnd(t, secretOf(s), "inspect", "--json", c.file)
		require.Equal(t, exitOK, r.code, r.err)
		var found findings
		require.NoError(t, json.Unmarshal([]byte(r.out), &found))
		return found
	}
	c := s.capture(t, "capture", simulator.Scheme{})
	found := inspect(c, gzipped(t, c.body))
	require.Contains(t, found.Body, " under secret 1")
	require.Contains(t, found.Event, "enrollment.completed")
	require.Equal(t, "true", found.Variables["HTTP_ACCEPT_GZIP"])

	for name, body := range map[string][]byte{
		"none": c.body, "cut": gzipped(t, c.body)[:100], "twice": gzipped(t, gzipped(t, c.body)),
		"a bomb": gzipped(t, slices.Concat([]byte(`{"a":1`), bytes.Repeat([]byte(" "), maxCaptureBytes), []byte("}"))),
	} {
		require.Equal(t, "cannot be opened: it would go to quarantine", inspect(c, body).Body, name)
	}
}

func gzipped(t *testing.T, plain []byte) []byte {
	t.Helper()
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	_, err := w.Write(plain)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return packed.Bytes()
}

func TestInspectFails(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	c := s.capture(t, "capture", simulator.Scheme{})
	public, _ := wrappingKey(t)
	plain := s.capture(t, "plain", simulator.Scheme{Cipher: "none", Unsigned: true})
	wrapped := s.capture(t, "wrapped", simulator.Scheme{PublicKey: public, Unsigned: true})
	write := func(name string, content []byte) string {
		path := filepath.Join(t.TempDir(), name)
		require.NoError(t, os.WriteFile(path, content, 0o600))
		return path
	}
	crlf := c.raw(t, "\r\n")
	other := []string{"AWAREID_WEBHOOK_SECRETS=" + newDevWebhook().Secret}
	for _, test := range []struct {
		name    string
		environ []string
		file    string
		code    int
		want    string
	}{
		{"wrong secret", other, c.file, exitFailed, "nothing matches"},
		{"changed body", secretOf(s), write("changed", slices.Concat(crlf[:len(crlf)-9], []byte("#"), crlf[len(crlf)-8:])), exitFailed, "nothing matches"},
		{"no proof at all", secretOf(s), plain.file, exitFailed, "nothing matches"},
		{"wrapped and unsigned", secretOf(s), wrapped.file, exitFailed, "nothing matches"},
		{"no secret", nil, c.file, exitUsage, "AWAREID_WEBHOOK_SECRETS"},
		{"bad key", append(secretOf(s), "DECRYPT_PRIVATE_KEY=x"), c.file, exitUsage, "DECRYPT_PRIVATE_KEY"},
		{"garbage", secretOf(s), write("garbage", []byte("\x00\xff\x7fELF")), exitUsage, "is not one HTTP request"},
		{"body alone", secretOf(s), write("body", c.body), exitUsage, "is not one HTTP request"},
		{"plaintext alone", secretOf(s), write("plaintext", c.event.body), exitUsage, "is not one HTTP request"},
		{"bad header line", secretOf(s), write("header", bytes.Replace(crlf, []byte("User-Agent:"), []byte(authValue), 1)), exitUsage, "is not one HTTP request"},
		{"empty", secretOf(s), write("empty", nil), exitUsage, "is not one HTTP request"},
		{"cut short", secretOf(s), write("cut", crlf[:len(crlf)-1]), exitUsage, "does not fit its header"},
		{"no such file", secretOf(s), filepath.Join(t.TempDir(), "none"), exitUsage, "no such file"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := runToEnd(t, test.environ, "inspect", test.file)
			require.Equal(t, test.code, r.code, r.out+r.err)
			require.Contains(t, r.err, test.want)
			require.Empty(t, r.out)
			requireNothingPrivate(t, s, c, r.err)
		})
	}
}

// TestInspectWhatWouldBeQuarantined says so of a signed body that is no event.
func TestInspectWhatWouldBeQuarantined(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	c := capture{event: newSample("x")}
	for body, want := range map[string]string{
		`{"iv":"AAAAAAAAAAAAAAAA","p":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=="}`: "# body       cannot be opened: it would go to quarantine",
		`{"username":"` + username + `"}`:                                  "it would go to quarantine",
	} {
		c.body, c.header = seal(t, simulator.Scheme{Secret: s.hook.Secret, Cipher: "none"}, []byte(body))
		c.file = filepath.Join(t.TempDir(), "capture")
		c.write(t, "\r\n")
		r := runToEnd(t, secretOf(s), "inspect", c.file)
		require.Equal(t, exitOK, r.code, r.err)
		require.Contains(t, r.out, want)
		require.NotContains(t, r.out, username)
	}
}

// TestInspectRealBytes takes what really arrives at a socket.
func TestInspectRealBytes(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	received := make(chan []byte, 1)
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		var bytesRead bytes.Buffer
		if request, err := http.ReadRequest(bufio.NewReader(io.TeeReader(conn, &bytesRead))); err == nil {
			_, _ = io.Copy(io.Discard, request.Body)
		}
		received <- bytesRead.Bytes()
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
	}()
	sent := runToEnd(t, secretOf(s), "send", "--cipher=bare-cbc", "http://"+listener.Addr().String()+server.Path)
	require.Equal(t, exitOK, sent.code, sent.err)
	file := filepath.Join(t.TempDir(), "capture")
	require.NoError(t, os.WriteFile(file, <-received, 0o600))
	r := runToEnd(t, secretOf(s), "inspect", file)
	require.Equal(t, exitOK, r.code, r.err)
	require.Equal(t, wantVariables(simulator.Scheme{}), lines(r.out)[3:])
}
