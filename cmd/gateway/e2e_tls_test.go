package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/server"
)

// newPair is a certificate for this host, and its key, in PEM.
func newPair(t *testing.T) (cert, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	require.NoError(t, err)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	require.NoError(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
}

// trusting is a client that makes a connection for each request.
func trusting(cert []byte) *http.Client {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(cert)
	return &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: roots}}}
}

// TestTLS: the gateway proves itself with the files as they are now; a pair that is
// half written changes nothing, and is told once.
func TestTLS(t *testing.T) {
	t.Parallel()
	s, folder := newStack(t), t.TempDir()
	certFile, keyFile := filepath.Join(folder, "tls.crt"), filepath.Join(folder, "tls.key")
	write := func(path string, content []byte) { require.NoError(t, os.WriteFile(path, content, 0o600)) }
	cert, key := newPair(t)
	write(certFile, cert)
	write(keyFile, key)
	g := s.serve(t, "HTTP_TLS_CERT_FILE="+certFile, "HTTP_TLS_KEY_FILE="+keyFile)
	require.Contains(t, g.get("/metrics").body, `gateway_tls_certificate_not_after_seconds{listener="public"}`)
	require.NotContains(t, g.err.String(), "plain HTTP")
	g.url = strings.Replace(g.url, "http:", "https:", 1)
	status := func(client *http.Client) int {
		response, err := client.Get(g.url + server.Path)
		if err != nil {
			return 0
		}
		response.Body.Close()
		return response.StatusCode
	}
	require.Equal(t, http.StatusMethodNotAllowed, status(trusting(cert)))

	ca := filepath.Join(folder, "ca.pem")
	write(ca, cert)
	r := runToEnd(t, s.environ(), "send", "--ca", ca, g.url+server.Path)
	require.Equal(t, exitOK, r.code, r.err)
	require.NotEqual(t, exitOK, runToEnd(t, s.environ(), "send", g.url+server.Path).code, "nobody else vouches for it")

	files := []string{"HTTP_TLS_CERT_FILE=" + certFile, "HTTP_TLS_KEY_FILE=" + keyFile}
	require.Regexp(t, `(?m)^warn  certificates   HTTP_TLS_CERT_FILE: .* ends on .*; order a new one`, runToEnd(t, s.environ(files...), "check").out)

	nextCert, nextKey := newPair(t)
	write(certFile, nextCert)
	g.await(t, g.err, 1, `"level":"ERROR".*"variable":"HTTP_TLS_CERT_FILE"`)
	require.Regexp(t, `(?m)^FAIL  certificates   HTTP_TLS_CERT_FILE: `, runToEnd(t, s.environ(files...), "check").out)
	require.Contains(t, g.get("/metrics").body, `gateway_secrets_unread{source="HTTP_TLS_CERT_FILE",webhook=""} 1`)
	require.Equal(t, http.StatusMethodNotAllowed, status(trusting(cert)))
	write(keyFile, nextKey)
	g.await(t, g.err, 1, `a changed file is in force","replica":"[^"]*","variable":"HTTP_TLS_CERT_FILE"`)
	require.Equal(t, http.StatusMethodNotAllowed, status(trusting(nextCert)))
	require.Zero(t, status(trusting(cert)))
	require.Equal(t, 1, strings.Count(g.err.String(), `"level":"ERROR"`))
}

func TestTLSFilesThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	s, folder := newStack(t), t.TempDir()
	cert, key := newPair(t)
	_, otherKey := newPair(t)
	paths := map[string]string{}
	for name, content := range map[string][]byte{"cert": cert, "key": key, "other": otherKey, "empty": nil} {
		paths[name] = filepath.Join(folder, name)
		require.NoError(t, os.WriteFile(paths[name], content, 0o600))
	}
	for name, vars := range map[string][]string{
		"no file":     {"HTTP_TLS_CERT_FILE=" + folder + "/none", "HTTP_TLS_KEY_FILE=" + paths["key"]},
		"another key": {"HTTP_TLS_CERT_FILE=" + paths["cert"], "HTTP_TLS_KEY_FILE=" + paths["other"]},
		"empty":       {"ADMIN_TLS_CERT_FILE=" + paths["empty"], "ADMIN_TLS_KEY_FILE=" + paths["empty"]},
		"empty CA":    {"HTTP_TLS_CERT_FILE=" + paths["cert"], "HTTP_TLS_KEY_FILE=" + paths["key"], "HTTP_TLS_CLIENT_CA_FILE=" + paths["empty"]},
	} {
		t.Run(name, func(t *testing.T) {
			r := runToEnd(t, s.environ(vars...), "serve")
			require.Equal(t, exitUsage, r.code, r.err)
			require.Contains(t, r.err, "_TLS_CERT_FILE: ")
		})
	}
}
