package server_test

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/server"
)

// pair is a certificate that vouches for itself, with its key.
type pair struct {
	cert, key []byte
	notAfter  time.Time
}

func newPair(t testing.TB, name string) pair {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	p := pair{notAfter: time.Now().Add(24 * time.Hour).UTC().Truncate(time.Second)}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "canary-" + name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: p.notAfter,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	p.cert = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	private, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	p.key = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})
	return p
}

func (p pair) serve(t testing.TB, clientCA []byte) *server.TLS {
	t.Helper()
	s, err := server.NewTLS(p.cert, p.key, clientCA)
	require.NoError(t, err)
	return s
}

// client trusts p.
func (p pair) client() *tls.Config {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(p.cert)
	return &tls.Config{RootCAs: roots, ServerName: "127.0.0.1"}
}

// as is the configuration of a client that shows a certificate.
func as(t *testing.T, config *tls.Config, p pair) *tls.Config {
	t.Helper()
	own, err := tls.X509KeyPair(p.cert, p.key)
	require.NoError(t, err)
	config = config.Clone()
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &own, nil }
	return config
}

// serveTLS is a gateway that proves itself with p.
func serveTLS(t *testing.T, p pair, clientCA []byte, changes ...func(*setUp)) (*gateway, *server.TLS) {
	t.Helper()
	proof := p.serve(t, clientCA)
	g := newBackend(t).serve(t, append(changes, func(s *setUp) { s.TLS = proof })...)
	g.client = p.client()
	return g, proof
}

func TestTLSVersionsAndProtocols(t *testing.T) {
	p := newPair(t, "gateway")
	g, _ := serveTLS(t, p, nil)
	for name, tc := range map[string]struct {
		config *tls.Config
		works  bool
	}{
		"1.3":           {&tls.Config{MinVersion: tls.VersionTLS13}, true},
		"1.2":           {&tls.Config{MaxVersion: tls.VersionTLS12}, true},
		"1.1":           {&tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}, false},
		"http/1.1":      {&tls.Config{NextProtos: []string{"h2", "http/1.1"}}, true},
		"h2 alone":      {&tls.Config{NextProtos: []string{"h2"}}, false},
		"another name":  {&tls.Config{ServerName: "elsewhere.example"}, false},
		"no ciphers":    {&tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_RSA_WITH_RC4_128_SHA}}, false},
		"nothing known": {&tls.Config{}, true},
	} {
		t.Run(name, func(t *testing.T) {
			config := p.client()
			config.MinVersion, config.MaxVersion = tc.config.MinVersion, tc.config.MaxVersion
			config.NextProtos, config.CipherSuites = tc.config.NextProtos, tc.config.CipherSuites
			if tc.config.ServerName != "" {
				config.ServerName = tc.config.ServerName
			}
			c := tls.Client(dialFrom(t, g.address, nil).Conn, config)
			err := c.Handshake()
			require.Equal(t, tc.works, err == nil, err)
			if !tc.works {
				return
			}
			if len(tc.config.NextProtos) > 0 {
				require.Equal(t, "http/1.1", c.ConnectionState().NegotiatedProtocol)
			}
			over := &conn{Conn: c, r: bufio.NewReader(c)}
			require.Equal(t, 200, over.send(g.valid(t)).answer(t).status)
		})
	}
	g.eventually(t, `gateway_refusals_total{cause="tls"}`, 4)
	g.requireSilence(t)
	require.NotContains(t, g.log.String(), "h2")
}

func TestTLSClientCertificates(t *testing.T) {
	p, ours, other := newPair(t, "gateway"), newPair(t, "sender"), newPair(t, "stranger")
	g, proof := serveTLS(t, p, ours.cert)
	status := func(config *tls.Config) int {
		t.Helper()
		c := tls.Client(dialFrom(t, g.address, nil).Conn, config)
		defer c.Close()
		over := &conn{Conn: c, r: bufio.NewReader(c)}
		if over.send(g.valid(t)); c.Handshake() != nil {
			return 0
		}
		if _, err := over.r.Peek(1); err != nil {
			require.NotErrorIs(t, err, net.ErrClosed)
			require.ErrorContains(t, err, "remote error: tls:", "the sender learns why")
			return 0
		}
		return over.answer(t).status
	}
	require.Equal(t, 200, status(as(t, p.client(), ours)))
	require.Zero(t, status(p.client()))
	require.Zero(t, status(as(t, p.client(), other)))
	g.eventually(t, `gateway_refusals_total{cause="tls"}`, 2)

	kept := as(t, p.client(), ours)
	kept.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	require.Equal(t, 200, status(kept))
	require.NoError(t, proof.Set(p.cert, p.key, other.cert))
	require.Zero(t, status(kept), "a session does not outlive the CA that vouched for it")
	require.Equal(t, 200, status(as(t, p.client(), other)))
	require.NotContains(t, g.log.String(), "canary")
}

// TestTLSIsReplaced while it serves: a kept connection stays, a half-written pair
// changes nothing.
func TestTLSIsReplaced(t *testing.T) {
	before, after := newPair(t, "before"), newPair(t, "after")
	g, proof := serveTLS(t, before, nil)
	kept := g.dial(t)
	require.Equal(t, 404, kept.ping(t))

	for name, half := range map[string][2][]byte{
		"another key": {after.cert, before.key}, "cut": {after.cert[:len(after.cert)/2], after.key}, "empty": {nil, nil},
	} {
		err := proof.Set(half[0], half[1], nil)
		require.Error(t, err, name)
		require.NotContains(t, err.Error(), "canary")
	}
	require.Error(t, proof.Set(after.cert, after.key, []byte("canary")))
	require.Equal(t, 200, g.exchange(t, g.valid(t)).status)

	require.NoError(t, proof.Set(after.cert, after.key, nil))
	require.Equal(t, after.notAfter, proof.NotAfter())
	require.Equal(t, 200, kept.send(g.valid(t)).answer(t).status)
	require.Error(t, tls.Client(dialFrom(t, g.address, nil).Conn, before.client()).Handshake())
	g.client = after.client()
	require.Equal(t, 200, g.exchange(t, g.valid(t)).status)
}

// TestTLSWithoutAHandshake: who connects and does not shake hands is counted from
// the accept on, and gone after the time for a request.
func TestTLSWithoutAHandshake(t *testing.T) {
	g, _ := serveTLS(t, newPair(t, "gateway"), nil, func(s *setUp) {
		s.Limits.MaxConnections, s.Limits.ReadTimeout = 3, 300*time.Millisecond
	})
	silent, half := dialFrom(t, g.address, nil), dialFrom(t, g.address, nil).send("\x16\x03\x01\x02\x00\x01")
	plain := dialFrom(t, g.address, nil)
	g.eventually(t, "gateway_connections", 3)
	dialFrom(t, g.address, nil).ended(t)
	g.eventually(t, `gateway_refusals_total{cause="connections"}`, 1)

	plain.send(head("GET", server.Path, nil))
	rest, err := plain.r.ReadString(0)
	require.Error(t, err)
	require.False(t, strings.HasPrefix(rest, "HTTP"))
	plain.Close()
	silent.ended(t)
	half.ended(t)
	g.eventually(t, `gateway_refusals_total{cause="tls"}`, 3)
	g.eventually(t, "gateway_connections", 0)

	dialFrom(t, g.address, nil).Close() // a probe of the port
	require.Equal(t, 200, g.exchange(t, g.valid(t)).status)
	require.EqualValues(t, 3, g.metric(`gateway_refusals_total{cause="tls"}`))
	require.Contains(t, g.log.String(), `how="not TLS"`)
	require.Equal(t, 2, strings.Count(g.log.String(), "how=time-out"))
}

func TestTLSAbsoluteTarget(t *testing.T) {
	overBoth(t, func(t *testing.T, b *backend) {
		g := b.serve(t)
		raw := strings.Replace(g.valid(t), server.Path, "https://gateway.test"+server.Path, 1)
		require.Equal(t, 200, g.exchange(t, raw).status)
	})
}

func TestAdminTLS(t *testing.T) {
	p := newPair(t, "admin")
	_, admin, probes := serveAdmin(t, server.AdminOptions{TLS: p.serve(t, nil)})
	admin.client = p.client()
	require.Equal(t, 200, admin.get(t, "/livez", "localhost", nil).status)
	require.Equal(t, 200, probes.get(t, "/livez", "localhost", nil).status)
}

// TestNoWriteIsForEver: TLS writes while it reads, where no deadline of an answer holds.
func TestNoWriteIsForEver(t *testing.T) {
	ours, theirs := net.Pipe() // nobody reads
	defer theirs.Close()
	carrier := server.Carrier(ours, 10*time.Millisecond)
	for _, before := range []time.Time{{}, time.Now().Add(-time.Minute), time.Now().Add(time.Hour)} {
		require.NoError(t, carrier.SetWriteDeadline(before))
		_, err := carrier.Write([]byte("x"))
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	}
	require.ErrorIs(t, carrier.(interface{ CloseWrite() error }).CloseWrite(), errors.ErrUnsupported)
}
