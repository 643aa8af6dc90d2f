package server

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// TLS is what a listener proves itself with. It can be replaced while the
// listener serves; connections that are open stay as they are. It is safe for
// concurrent use.
type TLS struct {
	current  atomic.Pointer[tls.Config]
	notAfter atomic.Int64 // Unix seconds
	base     *tls.Config  // for every connection; it asks for current
}

// NewTLS takes what Set takes, and returns its errors.
func NewTLS(cert, key, clientCA []byte) (*TLS, error) {
	t := &TLS{}
	t.base = &tls.Config{
		MinVersion:         tls.VersionTLS12,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return t.current.Load(), nil },
	}
	return t, t.Set(cert, key, clientCA)
}

// Set puts a certificate with its chain, its key and the certificates that vouch
// for clients in force for connections to come, all in PEM. With clientCA a client
// must show a certificate; nil asks for none. An error, which holds nothing of
// the key, says why what was there before stays. Nothing of the arguments is
// kept.
func (t *TLS) Set(cert, key, clientCA []byte) error {
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return fmt.Errorf("certificate and key: %w", err)
	}
	ends, err := earliestEnd(pair.Certificate)
	if err != nil {
		return err
	}
	config := &tls.Config{
		MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}, Certificates: []tls.Certificate{pair},
	}
	if clientCA != nil {
		config.ClientCAs = x509.NewCertPool()
		if !config.ClientCAs.AppendCertsFromPEM(clientCA) {
			return errors.New("client CA: no certificate in PEM")
		}
		config.ClientAuth = tls.RequireAndVerifyClientCert
		config.SessionTicketsDisabled = true // a session would outlive the CA that vouched for its client
	}
	t.notAfter.Store(ends.Unix())
	t.current.Store(config)
	return nil
}

// Register shows as a metric when the certificate of a listener ends.
func (t *TLS) Register(reg prometheus.Registerer, listener string) {
	reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "gateway_tls_certificate_not_after_seconds", Help: "When the first certificate of the chain in force ends, in Unix time.",
		ConstLabels: prometheus.Labels{"listener": listener},
	}, func() float64 { return float64(t.notAfter.Load()) }))
}

// NotAfter is when the first certificate of the chain in force ends.
func (t *TLS) NotAfter() time.Time { return time.Unix(t.notAfter.Load(), 0).UTC() }

// earliestEnd is of a chain in DER.
func earliestEnd(chain [][]byte) (time.Time, error) {
	var ends []time.Time
	for _, der := range chain {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return time.Time{}, fmt.Errorf("certificate: %w", err)
		}
		ends = append(ends, c.NotAfter)
	}
	return slices.MinFunc(ends, time.Time.Compare), nil
}

// server is one connection of a listener. A nil TLS leaves it plain.
func (t *TLS) server(c net.Conn) net.Conn {
	if t == nil {
		return c
	}
	return tls.Server(c, t.base)
}

// secure makes the handshake, where there is TLS, before the first byte is read.
// The handshake shares the first request's time to be read.
func (c *conn) secure() error {
	t, ok := c.Conn.(*tls.Conn)
	if !ok || c.secured {
		return nil
	}
	if err := t.Handshake(); err != nil {
		if errors.Is(err, io.EOF) { // it left without a word, as a probe of the port does
			return err
		}
		how := handshakeFailure(err)
		if c.failed(how, c.peer); how != timedOut {
			c.linger() // it may have sent a request already, and should learn why it is refused
		}
		return err
	}
	c.secured = true
	c.await(true) // only now it can send a request
	return nil
}

const timedOut = "time-out"

// handshakeFailure says what was wrong in words of ours: those of crypto/tls and
// crypto/x509 quote the peer.
func handshakeFailure(err error) string {
	var notTLS tls.RecordHeaderError
	var certificate *tls.CertificateVerificationError
	var alert tls.AlertError
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return timedOut
	case errors.As(err, &notTLS):
		return "not TLS"
	case errors.As(err, &certificate):
		return "client certificate"
	case errors.As(err, &alert):
		return "ended by the peer"
	}
	return "no agreement"
}
