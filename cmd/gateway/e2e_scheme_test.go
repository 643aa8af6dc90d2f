package main

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"maps"
	"net/http"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/simulator"
)

// schemes are the ways to encrypt, each with the usual signature, and the
// usual cipher with every form of a signature.
func schemes(wrapping *rsa.PublicKey) map[string]simulator.Scheme {
	all := map[string]simulator.Scheme{
		"wrapped-gcm":   {Cipher: "gcm", PublicKey: wrapping},
		"wrapped-gcm16": {Cipher: "gcm16", PublicKey: wrapping, Encoding: "base64"},
		"wrapped-cbc":   {Cipher: "cbc", PublicKey: wrapping},
		"raw-key":       {Form: "raw"},
		"sha512":        {Hash: "sha512"},
		"sha512-raw":    {Hash: "sha512", Form: "raw", Encoding: "base64url", Prefix: "v1,", Cipher: "cbc"},
		"github":        {Header: "X-Hub-Signature-256", Prefix: "sha256="},
		"v1":            {Header: "Signature", Encoding: "base64", Prefix: "v1="},
		"own-header":    {Header: "x-my-own-mac", Encoding: "base64urlraw", Cipher: "none"},
	}
	for _, cipher := range []string{"gcm", "gcm16", "cbc", "bare-gcm", "bare-cbc", "none"} {
		all[cipher] = simulator.Scheme{Cipher: cipher}
	}
	for _, encoding := range []string{"base64", "base64url", "base64raw", "base64urlraw"} {
		all[encoding] = simulator.Scheme{Encoding: encoding}
	}
	return all
}

func wrappingKey(t *testing.T) (public *rsa.PublicKey, variable string) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	return &key.PublicKey, "DECRYPT_PRIVATE_KEY=" + string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// TestEveryScheme has a webhook for each way to sign and encrypt: an event
// becomes one record, its repeats are duplicates, and what is forged is refused.
func TestEveryScheme(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	public, variable := wrappingKey(t)
	all := schemes(public)
	var hooks []namedWebhook
	for _, name := range slices.Sorted(maps.Keys(all)) {
		hooks = append(hooks, namedWebhook{name, newDevWebhook()})
	}
	g := s.ready(t, start(t, s.environWithoutWebhook(append(numbered(hooks...), variable)...), "serve"))

	sent := map[string]sample{}
	for _, h := range hooks {
		t.Run(h.name, func(t *testing.T) {
			scheme := all[h.name]
			scheme.Secret = h.Secret
			e := newSample("authentication.face.check")
			sent[h.name] = e
			refuseForged(t, g, h.name, scheme, e.body)
			body, header := seal(t, scheme, e.body)
			requireAnswer(t, http.StatusOK, "accepted", e.id, g.post(t, h.name, body, header))
			requireAnswer(t, http.StatusOK, "duplicate", e.id, g.post(t, h.name, body, header))
			body, header = seal(t, scheme, e.body) // the same event, in another envelope
			requireAnswer(t, http.StatusOK, "duplicate", e.id, g.post(t, h.name, body, header))
			refuseForged(t, g, h.name, scheme, e.body)
		})
	}
	records := s.records(t)
	require.Len(t, records, len(hooks))
	for _, h := range hooks {
		requireRecord(t, sent[h.name], h.ID, s.topic("authentication"), byID(t, records, sent[h.name]))
	}
}

// refuseForged changes each part of a request, one at a time.
func refuseForged(t *testing.T, g *gateway, name string, scheme simulator.Scheme, event []byte) {
	t.Helper()
	body, header := seal(t, scheme, event)
	signature := signatureHeader(scheme)

	flipped := bytes.Clone(body)
	flipped[len(flipped)/2] ^= 1
	requireUnauthorized(t, g.post(t, name, flipped, header))
	requireUnauthorized(t, g.post(t, name, body[:len(body)-4], header)) // more than the padding of base64
	if scheme.Covers != "plaintext" {                                   // which says nothing of blanks around the envelope
		requireUnauthorized(t, g.post(t, name, append(bytes.Clone(body), ' '), header))
	}
	requireUnauthorized(t, g.post(t, name, nil, header))

	unsigned := header.Clone()
	unsigned.Del(signature)
	requireUnauthorized(t, g.post(t, name, body, unsigned))

	scheme.Secret = newDevWebhook().Secret
	_, strange := seal(t, scheme, event)
	requireUnauthorized(t, g.post(t, name, body, strange))
	strangeBody, strange := seal(t, scheme, event)
	requireUnauthorized(t, g.post(t, name, strangeBody, strange))
}

func signatureHeader(s simulator.Scheme) string {
	if s.Header != "" {
		return s.Header
	}
	return simulator.DefaultSignatureHeader
}

// TestSignatureOverPlaintext is for a platform that signs before it encrypts.
func TestSignatureOverPlaintext(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	g := s.serve(t, "SIGNATURE_COVERS=plaintext")
	for _, cipher := range []string{"gcm", "gcm16", "bare-gcm"} {
		e := newSample("enrollment.started")
		scheme := simulator.Scheme{Secret: s.hook.Secret, Cipher: cipher, Covers: "plaintext"}
		refuseForged(t, g, "", scheme, e.body)
		body, header := seal(t, scheme, e.body)
		requireAnswer(t, http.StatusOK, "accepted", e.id, g.post(t, "", body, header))
		requireAnswer(t, http.StatusOK, "duplicate", e.id, g.post(t, "", body, header))
	}
	for _, cipher := range []string{"cbc", "bare-cbc", "none"} {
		scheme := simulator.Scheme{Secret: s.hook.Secret, Cipher: cipher, Covers: "plaintext"}
		body, header := seal(t, scheme, newSample("enrollment.started").body)
		requireUnauthorized(t, g.post(t, "", body, header))
	}
	require.Len(t, s.records(t), 3)
}

// TestWithoutSignature is for a platform that was told to sign nothing: the
// auth header and the encryption are the proof.
func TestWithoutSignature(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	const key, value = "X-Callback-Auth", "Basic a-long-password"
	g := s.serve(t, "SIGNATURE_REQUIRED=false", "AWAREID_AUTH_HEADER_KEY="+key, "AWAREID_AUTH_HEADER_VALUE="+value)
	require.Contains(t, g.err.String(), "SIGNATURE_REQUIRED=false: CALLBACKS WITHOUT A SIGNATURE ARE ACCEPTED")

	e := newSample("enrollment.started")
	scheme := simulator.Scheme{Secret: s.hook.Secret, Unsigned: true, AuthHeaderKey: key, AuthHeaderValue: value}
	body, header := seal(t, scheme, e.body)
	requireAnswer(t, http.StatusOK, "accepted", e.id, g.post(t, "", body, header))

	for name, change := range map[string]func(*simulator.Scheme){
		"no auth header":    func(s *simulator.Scheme) { s.AuthHeaderKey = "" },
		"wrong auth header": func(s *simulator.Scheme) { s.AuthHeaderValue += "x" },
		"wrong key":         func(s *simulator.Scheme) { s.Secret = newDevWebhook().Secret },
		"not encrypted":     func(s *simulator.Scheme) { s.Cipher = "none" },
		"not authenticated": func(s *simulator.Scheme) { s.Cipher = "cbc" },
	} {
		t.Run(name, func(t *testing.T) {
			forged := scheme
			change(&forged)
			body, header := seal(t, forged, newSample("enrollment.started").body)
			requireUnauthorized(t, g.post(t, "", body, header))
		})
	}
	require.Equal(t, []string{e.id}, ids(s.records(t)))
}
