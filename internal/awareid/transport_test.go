package awareid_test

import (
	"compress/gzip"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/awareid"
	"awareid-gateway/internal/simulator"
)

// The tests of this file go over the loopback and by the wall clock.

// onTCP serves the world's platform with TLS, whose certificate the client trusts.
func onTCP(t *testing.T, change func(*awareid.Options, *httptest.Server)) (*world, *httptest.Server) {
	t.Helper()
	var w *world
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) { w.ServeHTTP(out, r) }))
	server.EnableHTTP2 = true
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // handshakes that fail are what is tested
	server.StartTLS()
	t.Cleanup(server.Close)
	w = newWorld(t, func(o *awareid.Options, _ *simulator.PlatformOptions) {
		o.BaseURL, o.Attempts, o.Timeout = server.URL, 1, 10*time.Second
		o.RootCAs = x509.NewCertPool()
		o.RootCAs.AddCert(server.Certificate())
		if change != nil {
			change(o, server)
		}
	})
	t.Cleanup(w.client.Close)
	return w, server
}

func TestTLS(t *testing.T) {
	w, _ := onTCP(t, nil)
	require.NoError(t, w.call())
}

func TestAnUnknownCertificateIsRefused(t *testing.T) {
	w, _ := onTCP(t, func(o *awareid.Options, _ *httptest.Server) { o.RootCAs, o.Attempts = nil, 4 })
	began := time.Now()
	err := w.call()
	require.ErrorIs(t, err, awareid.ErrUnavailable)
	require.ErrorContains(t, err, "certificate")
	require.Less(t, time.Since(began), 2*time.Second, "another try would end likewise")
	require.Empty(t, w.seen)
}

func TestACertificateForAnotherHostIsRefused(t *testing.T) {
	w, _ := onTCP(t, func(o *awareid.Options, s *httptest.Server) {
		o.BaseURL = strings.Replace(s.URL, "127.0.0.1", "localhost", 1)
	})
	require.ErrorContains(t, w.call(), "certificate")
	require.Empty(t, w.seen)
}

func TestOldTLSIsRefused(t *testing.T) {
	var w *world
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) { w.ServeHTTP(out, r) }))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.TLS = &tls.Config{MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}
	server.StartTLS()
	defer server.Close()
	w = newWorld(t, func(o *awareid.Options, _ *simulator.PlatformOptions) {
		o.BaseURL, o.Attempts = server.URL, 1
		o.RootCAs = x509.NewCertPool()
		o.RootCAs.AddCert(server.Certificate())
	})
	require.ErrorIs(t, w.call(), awareid.ErrUnavailable)
	require.Empty(t, w.seen)
}

func TestPlainHTTPWhereTLSShouldBe(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	w := newWorld(t, func(o *awareid.Options, _ *simulator.PlatformOptions) {
		o.BaseURL = strings.Replace(server.URL, "http://", "https://", 1)
	})
	began := time.Now()
	require.ErrorContains(t, w.call(), "HTTP response to HTTPS client")
	require.Less(t, time.Since(began), 2*time.Second)
}

// Neither token nor key, nor the body, follows a redirect.
func TestRedirectsAreNotFollowed(t *testing.T) {
	var strangers atomic.Int32
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { strangers.Add(1) }))
	defer elsewhere.Close()
	for _, path := range []string{registrations, tokenPath} {
		w, _ := onTCP(t, nil)
		for range 3 {
			w.faults.On(path, simulator.Redirect(elsewhere.URL+"/"))
		}
		_, err := w.client.Register(t.Context(), registration())
		require.ErrorIs(t, err, awareid.ErrMalformed)
		require.Equal(t, 307, refusalOf(t, err).Status)
		require.Zero(t, strangers.Load())
	}
}

// Without a connection nothing was done, so even a registration is tried again.
func TestConnectionsThatAreRefused(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := listener.Addr().String()
	listener.Close()
	w := newWorld(t, func(o *awareid.Options, _ *simulator.PlatformOptions) { o.BaseURL, o.Attempts = "http://"+address, 2 })
	_, err = w.client.Register(t.Context(), registration())
	require.ErrorIs(t, err, awareid.ErrUnavailable)
	require.NotErrorIs(t, err, awareid.ErrOutcomeUnknown)
	require.ErrorContains(t, err, address)
	require.ErrorContains(t, err, "connection refused")

	// The same with a token in hand.
	w, server := onTCP(t, func(o *awareid.Options, _ *httptest.Server) { o.Attempts = 2 })
	require.NoError(t, w.call())
	server.Close()
	_, err = w.client.Register(t.Context(), registration())
	require.ErrorIs(t, err, awareid.ErrUnavailable)
	require.NotErrorIs(t, err, awareid.ErrOutcomeUnknown)
}

// What is small on the wire can be large in memory.
func TestCompressedAnswersAreBounded(t *testing.T) {
	w, _ := onTCP(t, func(o *awareid.Options, _ *httptest.Server) { o.MaxAnswerBytes = 1 << 20 })
	bomb := func(out http.ResponseWriter, _ *http.Request, _ http.Handler) {
		out.Header().Set("Content-Encoding", "gzip")
		packed := gzip.NewWriter(out)
		_, _ = io.Copy(packed, io.LimitReader(zeros{}, 64<<20))
		_ = packed.Close()
	}
	w.faults.On(registrations, bomb)
	err := w.call()
	require.ErrorIs(t, err, awareid.ErrMalformed)
	require.ErrorContains(t, err, "larger than its bound")
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

// A refusal is told whatever its size is.
func TestALargeRefusal(t *testing.T) {
	w, _ := onTCP(t, func(o *awareid.Options, _ *httptest.Server) { o.MaxAnswerBytes = 1 << 20 })
	w.faults.On(registrations, func(out http.ResponseWriter, _ *http.Request, _ http.Handler) {
		out.WriteHeader(http.StatusForbidden)
		_, _ = io.Copy(out, io.LimitReader(zeros{}, 8<<20))
	})
	require.Equal(t, 403, refusalOf(t, w.call()).Status)
}

func TestLargeHeadersAreRefused(t *testing.T) {
	w, _ := onTCP(t, nil)
	w.faults.On(registrations, func(out http.ResponseWriter, r *http.Request, platform http.Handler) {
		out.Header().Set("X-Large", strings.Repeat("x", 1<<20))
		platform.ServeHTTP(out, r)
	})
	require.ErrorIs(t, w.call(), awareid.ErrUnavailable)
}

func TestTheProxy(t *testing.T) {
	for name, tt := range map[string]struct {
		refuse int
		says   string
	}{"tunnels": {0, ""}, "wants a password": {407, "the proxy answered 407"}, "cannot connect": {502, "the proxy answered 502"}} {
		t.Run(name, func(t *testing.T) {
			w, _ := onTCP(t, nil)
			proxy := httptest.NewServer(tunnel(tt.refuse))
			defer proxy.Close()
			address, err := url.Parse(proxy.URL)
			require.NoError(t, err)
			address.User = url.UserPassword("user", "hush-hush")
			w.client.ProxyBy(address)
			err = w.call()
			if tt.says == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, awareid.ErrUnavailable)
			require.ErrorContains(t, err, tt.says)
			require.NotContains(t, err.Error(), "hush-hush")
		})
	}
}

// tunnel is a proxy for CONNECT that refuses with a status, unless it is 0.
func tunnel(refuse int) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if refuse != 0 {
			http.Error(w, "refused, hush-hush", refuse)
			return
		}
		there, err := net.Dial("tcp", r.Host)
		if err != nil {
			return
		}
		defer there.Close()
		here, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		defer here.Close()
		_, _ = io.WriteString(here, "HTTP/1.1 200 OK\r\n\r\n")
		go func() { _, _ = io.Copy(there, here) }()
		_, _ = io.Copy(here, there)
	})
}
