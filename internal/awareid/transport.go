package awareid

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"
)

const (
	dialTimeout      = 5 * time.Second
	handshakeTimeout = 10 * time.Second
	idleTimeout      = 90 * time.Second
	pingAfter        = 10 * time.Second // of silence
	pingTimeout      = 5 * time.Second
	maxHeaderBytes   = 64 << 10
	maxRefusalBytes  = 64 << 10 // read of an answer that is no 2xx; the rest is of no interest
)

// newHTTPClient returns a client that follows no redirect and reads whole answers
// up to a bound.
func newHTTPClient(roots *x509.CertPool, maxAnswerBytes int64) (*http.Client, *http.Transport) {
	transport := &http.Transport{
		Proxy:                  http.ProxyFromEnvironment, // never for a loopback address
		OnProxyConnectResponse: checkProxy,
		DialContext:            (&net.Dialer{Timeout: dialTimeout}).DialContext,
		TLSClientConfig:        &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    handshakeTimeout,
		IdleConnTimeout:        idleTimeout,
		MaxResponseHeaderBytes: maxHeaderBytes,
		ForceAttemptHTTP2:      true,
		// Else a connection whose other end is gone serves call after call until TCP
		// gives up, for a quarter of an hour.
		HTTP2: &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pingTimeout},
	}
	return &http.Client{
		Transport:     bounded{transport, maxAnswerBytes},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, transport
}

// errTooLarge says that an answer was cut off at its bound.
var errTooLarge = errors.New("the answer is larger than its bound")

// bounded reads the answer to its end before it hands it on, so that a connection
// that breaks in the middle is an error of the exchange, and so that nobody
// reads more than the bound.
type bounded struct {
	next http.RoundTripper
	max  int64
}

// RoundTrip implements [http.RoundTripper]. It returns errTooLarge for a 2xx
// beyond the bound; another answer is cut.
func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := b.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	good := answer.StatusCode/100 == 2
	limit := min(b.max, maxRefusalBytes)
	if good {
		limit = b.max
	}
	body, err := io.ReadAll(io.LimitReader(answer.Body, limit+1))
	switch {
	case err != nil && good:
		return nil, err
	case int64(len(body)) > limit && good:
		return nil, errTooLarge
	}
	answer.Body = io.NopCloser(bytes.NewReader(body[:min(int64(len(body)), limit)]))
	return answer, nil
}

// proxyError is a proxy's refusal to connect.
type proxyError struct{ status int }

func (e proxyError) Error() string { return fmt.Sprintf("the proxy answered %d", e.status) }

func checkProxy(_ context.Context, _ *url.URL, _ *http.Request, answer *http.Response) error {
	if answer.StatusCode != http.StatusOK {
		return proxyError{answer.StatusCode}
	}
	return nil
}

var (
	errTimeout  = errors.New("no answer in time") // of an exchange, whatever the caller's context says
	errExchange = errors.New("no valid HTTP answer")
)

// noAnswer turns the transport's error into one that can be shown: its own may
// quote the path, a proxy's password or what the server sent. ctx is that of the
// exchange.
func noAnswer(ctx context.Context, err error, sent bool) error {
	if errors.Is(err, errTooLarge) {
		return &malformedError{what: errTooLarge.Error(), tooLarge: true}
	}
	u := &unanswered{sent: sent}
	switch ended := context.Cause(ctx); {
	case ended == errTimeout || ended == nil && isTimeout(err):
		u.cause = errTimeout
	case ended != nil:
		u.cause, u.final = ctx.Err(), true
	default:
		u.cause, u.final = presentable(err)
	}
	return u
}

func (e *unanswered) cancelled() bool { return errors.Is(e.cause, context.Canceled) }

func isTimeout(err error) bool {
	timeout, ok := errors.AsType[net.Error](err)
	return ok && timeout.Timeout()
}

// presentable returns the part of err that names no more than addresses, ports and
// certificates, and whether another try would end likewise.
func presentable(err error) (cause error, final bool) {
	if e, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return e, true
	}
	if e, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return errors.New(e.Msg), true
	}
	if e, ok := errors.AsType[proxyError](err); ok {
		return e, e.status < 500
	}
	if e, ok := errors.AsType[*net.OpError](err); ok {
		return e, false
	}
	for _, known := range []error{http.ErrSchemeMismatch, io.ErrUnexpectedEOF, io.EOF} {
		if errors.Is(err, known) {
			return known, known == http.ErrSchemeMismatch
		}
	}
	return errExchange, false
}
