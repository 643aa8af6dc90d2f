package server_test

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/decrypt"
	"awareid-gateway/internal/server"
	"awareid-gateway/internal/simulator"
)

// TestTamperedBodies: whatever part of a body changes, the request is not
// authentic any more, for a body whose key is wrapped as for all others.
func TestTamperedBodies(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	opener, err := decrypt.New(decrypt.Options{Secrets: []string{secret, nextSecret}, PrivateKeys: []*rsa.PrivateKey{key}})
	require.NoError(t, err)
	b := newBackend(t)
	g := b.serve(t, func(s *setUp) { s.hook.Opener = opener })
	requireStatus(t, g.exchange(t, g.valid(t)), 200, "accepted", idOf(t, b))
	stored := b.stored(t)

	wrapped := g.scheme
	wrapped.PublicKey = &key.PublicKey
	for name, s := range map[string]simulator.Scheme{"under the secret": g.scheme, "under a wrapped key": wrapped} {
		t.Run(name, func(t *testing.T) {
			_, event := newEvent()
			header, body := sealed(t, s, event)
			for change, forged := range tampered(t, body) {
				a := g.exchange(t, post(server.Path, header, forged))
				require.Contains(t, []int{401, 413}, a.status, change)
				require.Empty(t, requireProblem(t, a, a.status), change)
			}
			require.Equal(t, stored, b.stored(t))
			require.Equal(t, 200, g.exchange(t, post(server.Path, header, body)).status, "untouched, it is accepted")
			stored = b.stored(t)
		})
	}
	g.requireSilence(t)
}

// tampered returns what can be done to a body that is an envelope.
func tampered(t *testing.T, body []byte) map[string][]byte {
	bodies := map[string][]byte{
		"empty": nil, "huge": bytes.Repeat(body, 200), "twice": append(bytes.Clone(body), body...),
		"a blank more": append(bytes.Clone(body), ' '), "NUL first": append([]byte{0}, body...),
	}
	for i := 0; i < len(body); i += 1 + len(body)/60 {
		flipped := bytes.Clone(body)
		flipped[i] ^= 1 << (i % 8)
		bodies[fmt.Sprint("bit flipped in byte ", i)] = flipped
		bodies[fmt.Sprint("cut at byte ", i)] = body[:i]
	}
	var members map[string][]byte
	require.NoError(t, json.Unmarshal(body, &members))
	require.Contains(t, members, "iv")
	for name := range members {
		for _, value := range [][]byte{nil, {0}, make([]byte, len(members[name]))} {
			changed := maps.Clone(members)
			changed[name] = value
			encoded, err := json.Marshal(changed)
			require.NoError(t, err)
			bodies[fmt.Sprintf("%s of %d bytes", name, len(value))] = encoded
		}
		without := maps.Clone(members)
		delete(without, name)
		encoded, err := json.Marshal(without)
		require.NoError(t, err)
		bodies["without "+name] = encoded
	}
	return bodies
}

// TestTamperedHeaders: what authenticates cannot be cut, changed, doubled or
// moved. What does not authenticate may be anything.
func TestTamperedHeaders(t *testing.T) {
	b := newBackend(t)
	g := b.serve(t)
	_, event := newEvent()
	header, body := sealed(t, g.scheme, event)
	signature := header.Get(simulator.DefaultSignatureHeader)
	for name, values := range map[string]map[string][]string{
		"signature cut":        {simulator.DefaultSignatureHeader: {signature[:63]}},
		"signature longer":     {simulator.DefaultSignatureHeader: {signature + "0"}},
		"signature doubled":    {simulator.DefaultSignatureHeader: {signature + signature}},
		"signature of MD5":     {simulator.DefaultSignatureHeader: {"md5=" + signature[:32]}},
		"signature of SHA-1":   {simulator.DefaultSignatureHeader: {"sha1=" + signature[:40]}},
		"signature is zeros":   {simulator.DefaultSignatureHeader: {strings.Repeat("0", 64)}},
		"bit of the signature": {simulator.DefaultSignatureHeader: {flip(signature)}},
		"behind nine others":   {simulator.DefaultSignatureHeader: {strings.Repeat(strings.Repeat("0", 64)+",", 9) + signature}},
		"auth value cut":       {authKey: {authValue[1:]}},
		"auth value longer":    {authKey: {authValue + "x"}},
		"auth value in upper":  {authKey: {strings.ToUpper(authValue)}},
		"auth values in one":   {authKey: {authValue + ", " + authValue}},
		"auth key changed":     {authKey: nil, authKey + "s": {authValue}},
	} {
		t.Run(name, func(t *testing.T) {
			forged := header.Clone()
			maps.Copy(forged, values)
			a := g.exchange(t, post(server.Path, forged, body))
			require.Empty(t, requireProblem(t, a, 401))
		})
	}
	require.Zero(t, b.stored(t))
	require.NotContains(t, g.metrics(), "gateway_signature_scheme{")

	for name, values := range map[string][]string{
		"Content-Type": {"text/html"}, "X-Other": {strings.Repeat("0", 64)}, "Cookie": {"a=b"}, "traceparent": {"x"},
	} {
		other := header.Clone()
		other[name] = values
		require.Equal(t, 200, g.exchange(t, post(server.Path, other, body)).status, name)
	}
	g.requireSilence(t)
}

func flip(signature string) string {
	last := "0"
	if strings.HasSuffix(signature, "0") {
		last = "1"
	}
	return signature[:len(signature)-1] + last
}

// TestASignatureUnderAnyNameCounts because the reference does not name the
// header; what was learnt shows for the operator to pin.
func TestASignatureUnderAnyNameCounts(t *testing.T) {
	g := newBackend(t).serve(t)
	for _, s := range []simulator.Scheme{{Header: "X-Any", Encoding: "base64"}, {Header: "Signature", Hash: "sha512", Prefix: "v1=", Form: "raw"}} {
		s.Secret, s.AuthHeaderKey, s.AuthHeaderValue = secret, authKey, authValue
		g.scheme = s
		require.Equal(t, 200, g.exchange(t, g.valid(t)).status)
		require.Equal(t, 1, strings.Count(g.metrics(), "gateway_signature_scheme{"), "the latest only")
		require.Contains(t, g.metrics(), fmt.Sprintf("header=%q", s.Header))
	}
	pinned := newBackend(t).serve(t, func(s *setUp) { s.hook.SignatureHeader = "X-Pinned" })
	require.Equal(t, 401, pinned.exchange(t, pinned.valid(t)).status)
	pinned.scheme.Header = "x-pinned"
	require.Equal(t, 200, pinned.exchange(t, pinned.valid(t)).status)
}

// requireSilence asserts that no event's content and nothing secret was logged
// or counted.
func (g *gateway) requireSilence(t *testing.T) {
	t.Helper()
	for place, text := range map[string]string{"log": g.log.String(), "metrics": g.metrics()} {
		require.NotContains(t, text, "canary", place)
		for _, s := range []string{secret, nextSecret} {
			require.NotContains(t, text, s, place)
		}
	}
}
