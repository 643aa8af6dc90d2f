package simulator_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"hash"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/simulator"
)

// The secret of the reference's sample.
const secret = "U6iZUV4/jhwLeqkwV+tAzn5zncVNSwvSEhppr8M20XY="

const sample = `{"id":"b6ea6be6-5e11-4946-9dc2-d41db57c5171","type":"enrollment.started"}`

func key(t testing.TB) []byte {
	t.Helper()
	k, err := base64.StdEncoding.DecodeString(secret)
	require.NoError(t, err)
	require.Len(t, k, 32)
	return k
}

func mac(newHash func() hash.Hash, key, message []byte) []byte {
	m := hmac.New(newHash, key)
	m.Write(message)
	return m.Sum(nil)
}

// openGCM and openCBC open with nothing but the standard library.
func openGCM(t testing.TB, key, iv, ciphertext []byte) string {
	t.Helper()
	block, err := aes.NewCipher(key)
	require.NoError(t, err)
	gcm, err := cipher.NewGCMWithNonceSize(block, len(iv))
	require.NoError(t, err)
	plaintext, err := gcm.Open(nil, iv, ciphertext, nil)
	require.NoError(t, err)
	return string(plaintext)
}

func openCBC(t testing.TB, key, iv, ciphertext []byte) string {
	t.Helper()
	block, err := aes.NewCipher(key)
	require.NoError(t, err)
	plaintext := bytes.Clone(ciphertext)
	cipher.NewCBCDecrypter(block, iv).CryptBlocks(plaintext, plaintext)
	n := int(plaintext[len(plaintext)-1])
	require.Equal(t, bytes.Repeat([]byte{byte(n)}, n), plaintext[len(plaintext)-n:])
	return string(plaintext[:len(plaintext)-n])
}

func openEnvelope(t testing.TB, body []byte) (wrapped, iv, p []byte) {
	t.Helper()
	var e struct{ Key, IV, P []byte }
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.DisallowUnknownFields()
	require.NoError(t, decoder.Decode(&e))
	return e.Key, e.IV, e.P
}

func TestSealSigns(t *testing.T) {
	type test struct {
		name   string
		scheme simulator.Scheme
		header string
		want   func(body []byte) string
	}
	b64 := base64.StdEncoding
	tests := []test{
		{"default", simulator.Scheme{}, "X-Aware-Signature", func(b []byte) string {
			return hex.EncodeToString(mac(sha256.New, key(t), b))
		}},
		{"sha512 base64", simulator.Scheme{Hash: "sha512", Encoding: "base64", Header: "x-sig"}, "X-Sig", func(b []byte) string {
			return b64.EncodeToString(mac(sha512.New, key(t), b))
		}},
		{"raw secret", simulator.Scheme{Form: "raw"}, "X-Aware-Signature", func(b []byte) string {
			return hex.EncodeToString(mac(sha256.New, []byte(secret), b))
		}},
		{"plaintext covered", simulator.Scheme{Covers: "plaintext"}, "X-Aware-Signature", func([]byte) string {
			return hex.EncodeToString(mac(sha256.New, key(t), []byte(sample)))
		}},
		{"base64url", simulator.Scheme{Encoding: "base64url"}, "X-Aware-Signature", func(b []byte) string {
			return base64.URLEncoding.EncodeToString(mac(sha256.New, key(t), b))
		}},
		{"base64raw", simulator.Scheme{Encoding: "base64raw"}, "X-Aware-Signature", func(b []byte) string {
			return strings.TrimRight(b64.EncodeToString(mac(sha256.New, key(t), b)), "=")
		}},
		{"base64urlraw", simulator.Scheme{Encoding: "base64urlraw"}, "X-Aware-Signature", func(b []byte) string {
			return base64.RawURLEncoding.EncodeToString(mac(sha256.New, key(t), b))
		}},
	}
	for _, prefix := range []string{"sha256=", "v1=", "v1,"} {
		tests = append(tests, test{"prefix " + prefix, simulator.Scheme{Prefix: prefix}, "X-Aware-Signature", func(b []byte) string {
			return prefix + hex.EncodeToString(mac(sha256.New, key(t), b))
		}})
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.scheme.Secret = secret
			body, header, err := tt.scheme.Seal([]byte(sample))
			require.NoError(t, err)
			require.Equal(t, []string{tt.want(body)}, header[tt.header])
		})
	}
}

func TestSealEncrypts(t *testing.T) {
	for _, tt := range []struct {
		cipher string
		open   func(t *testing.T, body []byte) string
	}{
		{"", func(t *testing.T, body []byte) string {
			_, iv, p := openEnvelope(t, body)
			require.Len(t, iv, 12)
			return openGCM(t, key(t), iv, p)
		}},
		{"gcm16", func(t *testing.T, body []byte) string {
			_, iv, p := openEnvelope(t, body)
			require.Len(t, iv, 16)
			return openGCM(t, key(t), iv, p)
		}},
		{"cbc", func(t *testing.T, body []byte) string {
			_, iv, p := openEnvelope(t, body)
			return openCBC(t, key(t), iv, p)
		}},
		{"bare-gcm", func(t *testing.T, body []byte) string {
			raw, err := base64.StdEncoding.DecodeString(string(body))
			require.NoError(t, err)
			return openGCM(t, key(t), raw[:12], raw[12:])
		}},
		{"bare-cbc", func(t *testing.T, body []byte) string {
			raw, err := base64.StdEncoding.DecodeString(string(body))
			require.NoError(t, err)
			return openCBC(t, key(t), raw[:16], raw[16:])
		}},
		{"none", func(_ *testing.T, body []byte) string { return string(body) }},
	} {
		t.Run("cipher "+tt.cipher, func(t *testing.T) {
			for n := range 33 { // every padding, and one more block
				event := sample + strings.Repeat(" ", n)
				body, _, err := simulator.Scheme{Secret: secret, Cipher: tt.cipher}.Seal([]byte(event))
				require.NoError(t, err)
				require.Equal(t, event, tt.open(t, body))
			}
		})
	}
}

func TestSealWrapsAFreshKey(t *testing.T) {
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	scheme := simulator.Scheme{Secret: secret, PublicKey: &private.PublicKey}
	seen := make(map[string]bool)
	for range 3 {
		body, _, err := scheme.Seal([]byte(sample))
		require.NoError(t, err)
		wrapped, iv, p := openEnvelope(t, body)
		aesKey, err := rsa.DecryptOAEP(sha256.New(), nil, private, wrapped, nil)
		require.NoError(t, err)
		require.Equal(t, sample, openGCM(t, aesKey, iv, p))
		seen[string(aesKey)] = true
	}
	require.Len(t, seen, 3)
}

func TestSealNeverRepeatsAnIV(t *testing.T) {
	seen := make(map[string]bool)
	for range 1000 {
		body, _, err := simulator.Scheme{Secret: secret}.Seal([]byte(sample))
		require.NoError(t, err)
		_, iv, _ := openEnvelope(t, body)
		seen[string(iv)] = true
	}
	require.Len(t, seen, 1000)
}

func TestSealSetsTheOtherHeaders(t *testing.T) {
	scheme := simulator.Scheme{Secret: secret, Unsigned: true, AuthHeaderKey: "boc_key", AuthHeaderValue: "boc_secret"}
	_, header, err := scheme.Seal([]byte(sample))
	require.NoError(t, err)
	require.Equal(t, "boc_secret", header.Get("boc_key"))
	require.Equal(t, "application/json", header.Get("Content-Type"))
	require.Len(t, header, 2)
}

func TestSealRefuses(t *testing.T) {
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	for name, scheme := range map[string]simulator.Scheme{
		"short secret":   {Secret: "c2hvcnQ="},
		"no base64":      {Secret: "%%%"},
		"form":           {Secret: secret, Form: "x"},
		"hash":           {Secret: secret, Hash: "md5"},
		"encoding":       {Secret: secret, Encoding: "x"},
		"covers":         {Secret: secret, Covers: "x"},
		"cipher":         {Secret: secret, Cipher: "x"},
		"bare with wrap": {Secret: secret, Cipher: "bare-gcm", PublicKey: &private.PublicKey},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := scheme.Seal([]byte(sample))
			require.Error(t, err)
			require.NotContains(t, err.Error(), scheme.Secret)
		})
	}
}
