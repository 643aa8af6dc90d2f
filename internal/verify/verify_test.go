package verify_test

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/verify"
)

// The secrets are the two that the platform's reference shows.
const (
	current  = "U6iZUV4/jhwLeqkwV+tAzn5zncVNSwvSEhppr8M20XY="
	previous = "7+gmiAMF2E0nogAsNeHE8pLUMxYnIuslW5q/3RsuX3I="
)

var (
	payload = []byte(`{"id":"b6ea6be6-5e11-4946-9dc2-d41db57c5171","type":"enrollment.started"}`)
	noon    = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
)

// headers yields names and values in turn.
func headers(namesAndValues ...string) verify.Headers {
	return func(yield func(name, value []byte) bool) {
		for i := 0; i < len(namesAndValues); i += 2 {
			if !yield([]byte(namesAndValues[i]), []byte(namesAndValues[i+1])) {
				return
			}
		}
	}
}

func newVerifier(t testing.TB, o verify.Options) *verify.Verifier {
	t.Helper()
	if o.Secrets == nil {
		o.Secrets = []verify.Secret{{Value: current}, {Value: previous}}
	}
	if o.Now == nil {
		o.Now = func() time.Time { return noon }
	}
	v, err := verify.New(o)
	require.NoError(t, err)
	return v
}

// sign returns the MAC that a sender makes of the payload.
func sign(t testing.TB, form verify.Form, secret, hash string) []byte {
	t.Helper()
	key, err := form.Key(secret)
	require.NoError(t, err)
	return verify.Sign(key, hash, payload)
}

// signature is sign in lower-case hex, as most senders write it.
func signature(t testing.TB, secret string) string {
	return hex.EncodeToString(sign(t, verify.FormBase64, secret, verify.SHA256))
}

// encodings are the ways to write a MAC, by what Match calls them.
var encodings = []struct {
	name, want string
	encode     func([]byte) string
}{
	{"hex", verify.Hex, hex.EncodeToString},
	{"upper-case hex", verify.Hex, func(b []byte) string { return strings.ToUpper(hex.EncodeToString(b)) }},
	{"base64", verify.Base64, base64.StdEncoding.EncodeToString},
	{"unpadded base64", verify.Base64, base64.RawStdEncoding.EncodeToString},
	{"base64url", verify.Base64URL, base64.URLEncoding.EncodeToString},
	{"unpadded base64url", verify.Base64URL, base64.RawURLEncoding.EncodeToString},
}

// frames are the things that a header's value may hold around a MAC.
var frames = []string{
	"%s", "sha256=%s", "SHA512=%s", "v1=%s", "v1,%s", "V1=%s",
	"t=1700000000,v1=%s", "%s " + "v1,other", "0 %s", "\t%s ,", ",, %s",
	"v1=" + forged + ", v1=%s", "sha256=" + forged + " %s",
}

const forged = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

func TestVerifyEveryCombination(t *testing.T) {
	for _, form := range []verify.Form{verify.FormBase64, verify.FormRaw} {
		for _, hash := range []string{verify.SHA256, verify.SHA512} {
			for i, secret := range []string{current, previous} {
				mac := sign(t, form, secret, hash)
				for _, enc := range encodings {
					want := enc.want
					if want == verify.Base64URL && !strings.ContainsAny(enc.encode(mac), "-_") {
						want = verify.Base64 // nothing tells them apart
					}
					for _, frame := range frames {
						for _, setting := range []verify.Form{"", verify.FormAuto, form} {
							name := fmt.Sprintf("%s/%s/%d/%s/%q/%s", form, hash, i, enc.name, frame, setting)
							v := newVerifier(t, verify.Options{Form: setting})
							got, err := v.Verify(headers("Host", "x", "x-SIGNATURE", fmt.Sprintf(frame, enc.encode(mac))), payload)
							require.NoError(t, err, name)
							require.Equal(t, verify.Match{Secret: i, Header: "X-Signature", Encoding: want, Hash: hash, Form: form}, got, name)
						}
					}
				}
			}
		}
	}
}

func TestVerifyRefuses(t *testing.T) {
	good := signature(t, current)
	sha512 := hex.EncodeToString(sign(t, verify.FormBase64, current, verify.SHA512))
	for _, tt := range []struct {
		name    string
		options verify.Options
		headers verify.Headers
		payload []byte
		want    error
	}{
		{"no headers", verify.Options{}, headers(), payload, verify.ErrNotSigned},
		{"an empty header", verify.Options{}, headers("S", ""), payload, verify.ErrNotSigned},
		{"separators alone", verify.Options{}, headers("S", " ,, , "), payload, verify.ErrNotSigned},
		{"a truncated signature", verify.Options{}, headers("S", good[:62]), payload, verify.ErrNotSigned},
		{"half a SHA-512", verify.Options{}, headers("S", sha512[:64]), payload, verify.ErrNoValidSignature},
		{"a longer signature", verify.Options{}, headers("S", good+"00"), payload, verify.ErrNotSigned},
		{"not quite hex", verify.Options{}, headers("S", "g"+good[1:]), payload, verify.ErrNotSigned},
		{"two prefixes", verify.Options{}, headers("S", "v1=sha256="+good), payload, verify.ErrNotSigned},
		{"an unknown prefix", verify.Options{}, headers("S", "md5="+good), payload, verify.ErrNotSigned},
		{"the length of an MD5", verify.Options{}, headers("S", good[:32]), payload, verify.ErrNotSigned},
		{"the length of a SHA-1", verify.Options{}, headers("S", good[:40]), payload, verify.ErrNotSigned},
		{"all zero", verify.Options{}, headers("S", strings.Repeat("0", 64)), payload, verify.ErrNoValidSignature},
		{"another header than the pinned", verify.Options{Header: "X-Sig"}, headers("S", good), payload, verify.ErrNotSigned},
		{"another form than the pinned", verify.Options{Form: verify.FormRaw}, headers("S", good), payload, verify.ErrNoValidSignature},
		{"an unknown secret", verify.Options{Secrets: []verify.Secret{{Value: previous}}}, headers("S", good), payload, verify.ErrNoValidSignature},
		{"an empty payload", verify.Options{}, headers("S", good), nil, verify.ErrNoValidSignature},
		{"a truncated payload", verify.Options{}, headers("S", good), payload[:len(payload)-1], verify.ErrNoValidSignature},
		{"a longer payload", verify.Options{}, headers("S", good), append(payload[:len(payload):len(payload)], '\n'), verify.ErrNoValidSignature},
		{"a huge payload", verify.Options{}, headers("S", good), make([]byte, 8<<20), verify.ErrNoValidSignature},
		{"the secret as its own signature", verify.Options{}, headers("S", current), payload, verify.ErrNoValidSignature},
	} {
		t.Run(tt.name, func(t *testing.T) {
			match, err := newVerifier(t, tt.options).Verify(tt.headers, tt.payload)
			require.ErrorIs(t, err, tt.want)
			require.Zero(t, match)
		})
	}
}

func TestVerifyRefusesEveryFlippedBit(t *testing.T) {
	v, good := newVerifier(t, verify.Options{}), signature(t, current)
	for i := range len(payload) * 8 {
		tampered := append([]byte(nil), payload...)
		tampered[i/8] ^= 1 << (i % 8)
		_, err := v.Verify(headers("S", good), tampered)
		require.ErrorIs(t, err, verify.ErrNoValidSignature, "payload bit %d", i)
	}
	mac := unhex(t, good)
	for i := range len(mac) * 8 {
		tampered := append([]byte(nil), mac...)
		tampered[i/8] ^= 1 << (i % 8)
		_, err := v.Verify(headers("S", hex.EncodeToString(tampered)), payload)
		require.ErrorIs(t, err, verify.ErrNoValidSignature, "signature bit %d", i)
	}
}

func TestVerifyEmptyPayload(t *testing.T) {
	key, err := verify.FormAuto.Key(current)
	require.NoError(t, err)
	_, err = newVerifier(t, verify.Options{}).Verify(headers("S", hex.EncodeToString(verify.Sign(key, verify.SHA256, nil))), nil)
	require.NoError(t, err)
}

func TestVerifyPinnedHeaderIgnoresCase(t *testing.T) {
	v := newVerifier(t, verify.Options{Header: "x-SIG"})
	match, err := v.Verify(headers("Other", forged, "X-sig", signature(t, current)), payload)
	require.NoError(t, err)
	require.Equal(t, "X-Sig", match.Header)
}

func TestVerifyExpiry(t *testing.T) {
	end := noon
	for _, tt := range []struct {
		name string
		now  time.Time
		want error
	}{
		{"just before its end", end.Add(-time.Nanosecond), nil},
		{"at its end", end, verify.ErrExpiredSecret},
		{"after its end", end.Add(time.Hour), verify.ErrExpiredSecret},
	} {
		t.Run(tt.name, func(t *testing.T) {
			now := tt.now
			v := newVerifier(t, verify.Options{
				Secrets: []verify.Secret{{Value: current}, {Value: previous, NotAfter: end}},
				Now:     func() time.Time { return now },
			})
			_, err := v.Verify(headers("S", signature(t, previous)), payload)
			require.ErrorIs(t, err, tt.want)

			_, err = v.Verify(headers("S", signature(t, current)), payload)
			require.NoError(t, err, "the other secret goes on")
			_, err = v.Verify(headers("S", signature(t, previous)+" "+signature(t, current)), payload)
			require.NoError(t, err, "signed with both")
		})
	}

	t.Run("the learnt secret ends too", func(t *testing.T) {
		now := end.Add(-time.Nanosecond)
		v := newVerifier(t, verify.Options{
			Secrets: []verify.Secret{{Value: current}, {Value: previous, NotAfter: end}},
			Now:     func() time.Time { return now },
		})
		_, err := v.Verify(headers("S", signature(t, previous)), payload)
		require.NoError(t, err)
		now = end
		_, err = v.Verify(headers("S", signature(t, previous)), payload)
		require.ErrorIs(t, err, verify.ErrExpiredSecret)
	})
}

func TestVerifyIsSafeForConcurrentUse(t *testing.T) {
	var mu sync.Mutex
	learnt := 0
	v := newVerifier(t, verify.Options{OnLearn: func(verify.Match) {
		mu.Lock()
		defer mu.Unlock()
		learnt++
	}})
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			secret := []string{current, previous}[i%2]
			for range 200 {
				match, err := v.Verify(headers("S", signature(t, secret)), payload)
				if err != nil || match.Secret != i%2 {
					t.Errorf("secret %d: %+v, %v", i%2, match, err)
				}
				if _, err := v.Verify(headers("S", forged), payload); err == nil {
					t.Error("a forgery passed")
				}
			}
		})
	}
	wg.Wait()
	require.Equal(t, 2, learnt, "once for each secret")
}

func TestNewRefuses(t *testing.T) {
	for _, tt := range []struct {
		name    string
		options verify.Options
		says    string
	}{
		{"no secret", verify.Options{}, "no secret"},
		{"a short one", verify.Options{Secrets: []verify.Secret{{Value: current}, {Value: "hunter2"}}}, "index 1"},
		{"a short raw one", verify.Options{Form: verify.FormRaw, Secrets: []verify.Secret{{Value: "hunter2"}}}, "index 0"},
		{"an unknown form", verify.Options{Form: "hex", Secrets: []verify.Secret{{Value: "hunter2"}}}, "form"},
		{"half an auth header", verify.Options{Secrets: []verify.Secret{{Value: current}}, AuthHeaderKey: "K"}, "auth header"},
		{"the other half", verify.Options{Secrets: []verify.Secret{{Value: current}}, AuthHeaderValue: "hunter2"}, "auth header"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v, err := verify.New(tt.options)
			require.ErrorContains(t, err, tt.says)
			require.Nil(t, v)
			require.NotContains(t, err.Error(), "hunter2")
			require.NotContains(t, err.Error(), current)
		})
	}
}

func TestAuthorize(t *testing.T) {
	for _, tt := range []struct {
		name    string
		headers verify.Headers
		want    error
	}{
		{"right", headers("boc_key", "boc_secret"), nil},
		{"right, another case", headers("Boc_Key", "boc_secret"), nil},
		{"right, twice", headers("boc_key", "boc_secret", "boc_key", "boc_secret"), nil},
		{"missing", headers("other", "boc_secret"), verify.ErrAuthHeader},
		{"empty", headers("boc_key", ""), verify.ErrAuthHeader},
		{"another case of the value", headers("boc_key", "BOC_secret"), verify.ErrAuthHeader},
		{"a prefix", headers("boc_key", "boc_secre"), verify.ErrAuthHeader},
		{"longer", headers("boc_key", "boc_secret0"), verify.ErrAuthHeader},
		{"right, then wrong", headers("boc_key", "boc_secret", "boc_key", "x"), verify.ErrAuthHeader},
		{"wrong, then right", headers("boc_key", "x", "boc_key", "boc_secret"), verify.ErrAuthHeader},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := newVerifier(t, verify.Options{AuthHeaderKey: "boc_key", AuthHeaderValue: "boc_secret"})
			require.ErrorIs(t, v.Authorize(tt.headers), tt.want)
		})
	}
	require.NoError(t, newVerifier(t, verify.Options{}).Authorize(headers()), "none is configured")
}
