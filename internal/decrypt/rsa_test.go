package decrypt_test

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/json"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/decrypt"
)

func TestParsePrivateKeys(t *testing.T) {
	pkcs8, err := decrypt.ParsePrivateKeys(read(t, "rsa-pkcs8.pem"))
	require.NoError(t, err)
	require.Len(t, pkcs8, 1)
	pkcs1, err := decrypt.ParsePrivateKeys(read(t, "rsa-pkcs1.pem"))
	require.NoError(t, err)
	require.True(t, pkcs8[0].Equal(pkcs1[0]))
	both, err := decrypt.ParsePrivateKeys(slices.Concat(read(t, "rsa-pkcs8.pem"), read(t, "rsa-pkcs1.pem")))
	require.NoError(t, err)
	require.Len(t, both, 2)

	whole := read(t, "rsa-pkcs8.pem")
	for _, tt := range []struct {
		name, says string
		pem        []byte
	}{
		{"empty", "not PEM", nil},
		{"not PEM", "not PEM", []byte("MIIE")},
		{"truncated", "not PEM", whole[:len(whole)/2]},
		{"a bad second one", "1024 bits", slices.Concat(whole, read(t, "rsa-1024.pem"))},
		{"too few bits", "1024 bits", read(t, "rsa-1024.pem")},
		{"not RSA", "not an RSA key", read(t, "ec.pem")},
		{"encrypted", "is encrypted", read(t, "rsa-encrypted.pem")},
		{"a public key", "not a private key", []byte("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n")},
		{"broken PKCS #8", "PKCS #8", []byte("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")},
		{"broken PKCS #1", "PKCS #1", []byte("-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----\n")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			key, err := decrypt.ParsePrivateKeys(tt.pem)
			require.ErrorContains(t, err, tt.says)
			require.Nil(t, key)
		})
	}
}

func TestNewRefusesSmallKeys(t *testing.T) {
	o, err := decrypt.New(decrypt.Options{PrivateKeys: []*rsa.PrivateKey{testKey(t), {PublicKey: rsa.PublicKey{N: testKey(t).Primes[0]}}}})
	require.ErrorContains(t, err, "1024 bits")
	require.Nil(t, o)
}

func TestOpenWrappedRefuses(t *testing.T) {
	block := aesKey(t, current)
	text := sealGCM(t, block, iv12, event)
	short, err := rsa.EncryptOAEP(sha256.New(), rand.Reader, &testKey(t).PublicKey, []byte("not an AES key"), nil)
	require.NoError(t, err)
	other, err := rsa.EncryptOAEP(sha256.New(), rand.Reader, &testKey(t).PublicKey, []byte("sixteen letters!"), nil)
	require.NoError(t, err)
	//lint:ignore SA1019 what must be refused has to be made
	pkcs1, err := rsa.EncryptPKCS1v15(rand.Reader, &testKey(t).PublicKey, []byte("sixteen letters!"))
	require.NoError(t, err)

	var java struct{ Key, IV, P []byte }
	require.NoError(t, json.Unmarshal(read(t, "envelope-java.json"), &java))
	o := testOpener(t)
	for bit := 0; bit < len(java.Key)*8; bit += 97 {
		tampered := bytes.Clone(java.Key)
		tampered[bit/8] ^= 1 << (bit % 8)
		_, err := o.Open(envelope(tampered, java.IV, java.P), decrypt.NoSecret)
		require.Equal(t, decrypt.ErrDecrypt, err, "wrapped key bit %d", bit)
	}
	for name, key := range map[string][]byte{
		"empty of bytes":         {0},
		"truncated":              java.Key[:len(java.Key)-1],
		"longer":                 append(bytes.Clone(java.Key), 0),
		"huge":                   make([]byte, 1<<20),
		"all ones":               bytes.Repeat([]byte{0xff}, len(java.Key)),
		"no AES key":             short,
		"another AES key":        other,
		"not OAEP but PKCS #1.5": pkcs1,
	} {
		_, err := o.Open(envelope(key, iv12, text), 0)
		require.Equal(t, decrypt.ErrDecrypt, err, name)
	}
}

// The padding that unwrapped last is tried first; the others must still be.
func TestOpenWrappedInAnyOrder(t *testing.T) {
	o := testOpener(t)
	files := []string{"envelope-oaep-sha1.json", "envelope-java.json", "envelope-oaep-sha256.json", "envelope-java.json", "envelope-oaep-sha1.json"}
	for _, file := range files {
		opened, err := o.Open(read(t, file), decrypt.NoSecret)
		require.NoError(t, err, file)
		require.Equal(t, read(t, "event.json"), opened.Plaintext)
	}
}

func testKey(t testing.TB) *rsa.PrivateKey {
	t.Helper()
	keys, err := decrypt.ParsePrivateKeys(read(t, "rsa-pkcs8.pem"))
	require.NoError(t, err)
	return keys[0]
}
