package verify

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"sync"
	"time"
)

// Secret is a signing secret of the webhook.
type Secret struct {
	Value    string    // as the platform gave it: base64 of 32 bytes, or with FormRaw any characters
	NotAfter time.Time // from this instant on it authenticates nothing; zero: no end
}

// idLabel separates an ID from every other use of the same secret.
const idLabel = "awareid-gateway secret id v1"

// Bytes are what is to be derived from: the 32 bytes that the secret is base64 of
// (any alphabet, padded or not), else its characters. So it does not matter how
// whoever derives has written it. The caller owns them.
func (s Secret) Bytes() []byte {
	if key, err := FormBase64.Key(s.Value); err == nil {
		return key
	}
	return []byte(s.Value)
}

// ID names the secret in metrics and log lines, and tells nothing of it: 8
// hexadecimal digits of a MAC of a fixed text under it.
func (s Secret) ID() string {
	return hex.EncodeToString(Sign(s.Bytes(), SHA256, []byte(idLabel))[:4])
}

// Form says how a secret's characters become the bytes of an HMAC key. The
// platform's reference calls the secret a string and does not say.
type Form string

// The forms.
const (
	FormAuto   Form = "auto"   // must be base64 of 32 bytes; those bytes and the characters are both tried
	FormBase64 Form = "base64" // must be base64 of 32 bytes; those bytes
	FormRaw    Form = "raw"    // the secret's own characters
)

// The hashes that a signature may be made with, as [Match] and [Sign] name them.
const (
	SHA256 = "sha256"
	SHA512 = "sha512"
)

const (
	secretSize   = 32 // bytes in a secret that the platform chose
	minRawSecret = 16 // characters; fewer can be guessed
)

var (
	errNotBase64 = fmt.Errorf("is not base64 of %d bytes (for a secret in another form choose %q)", secretSize, FormRaw)
	errTooShort  = fmt.Errorf("has fewer than %d characters", minRawSecret)
	errForm      = errors.New("the form is none of auto, base64, raw")
)

// Key returns the HMAC key that a sender derives from secret under this form:
// the 32 decoded bytes for base64 and auto (any base64 alphabet, padded or
// not), the characters themselves for raw, which must be at least 16. The
// empty form is auto. An error never shows the secret.
func (f Form) Key(secret string) ([]byte, error) {
	switch f {
	case "", FormAuto, FormBase64:
		key, ok := decodeBase64(make([]byte, secretSize), []byte(secret))
		if !ok {
			return nil, errNotBase64
		}
		return key, nil
	case FormRaw:
		if len(secret) < minRawSecret {
			return nil, errTooShort
		}
		return []byte(secret), nil
	}
	return nil, errForm
}

// Sign returns the HMAC (RFC 2104) of payload under key: 32 bytes for
// [SHA256], 64 for [SHA512]. It panics for any other hash, which is a mistake
// of the program. It retains nothing and is safe for concurrent use.
func Sign(key []byte, hash string, payload []byte) []byte {
	mac := hmac.New(newHash(hash), key)
	mac.Write(payload)
	return mac.Sum(nil)
}

func newHash(name string) func() hash.Hash {
	switch name {
	case SHA256:
		return sha256.New
	case SHA512:
		return sha512.New
	}
	panic("verify: HMAC with an unknown hash")
}

// signer makes MACs with one key and one hash. The keyed states are pooled:
// a reset one skips the two blocks of key schedule.
type signer struct {
	form Form
	hash string
	size int // of a MAC, in bytes
	pool sync.Pool
}

func newSigner(form Form, name string, key []byte) *signer {
	s := &signer{form: form, hash: name, size: newHash(name)().Size()}
	s.pool.New = func() any { return hmac.New(newHash(name), key) }
	return s
}

// appendMAC appends the MAC of payload to dst.
func (s *signer) appendMAC(dst, payload []byte) []byte {
	mac := s.pool.Get().(hash.Hash)
	defer s.pool.Put(mac)
	mac.Reset()
	mac.Write(payload)
	return mac.Sum(dst)
}

// newSigners lists every way to sign with secret, the likeliest first. The
// order is the same for all secrets under one form, so an index into it names
// a scheme across secrets.
func newSigners(form Form, secret string) ([]*signer, error) {
	forms := []Form{form}
	if form == "" || form == FormAuto {
		forms = []Form{FormBase64, FormRaw}
	}
	var signers []*signer
	for _, f := range forms {
		key, err := f.Key(secret)
		if err != nil {
			return nil, err
		}
		signers = append(signers, newSigner(f, SHA256, key), newSigner(f, SHA512, key))
	}
	return signers, nil
}

// decodeBase64 decodes text, in either alphabet, padded or not, if it is the
// strict encoding of exactly len(dst) bytes.
func decodeBase64(dst, text []byte) ([]byte, bool) {
	encoding, n := rawBase64, len(dst)
	if len(text) == base64.StdEncoding.EncodedLen(n) {
		text = bytes.TrimRight(text, "=")
	}
	if len(text) != encoding.EncodedLen(n) {
		return nil, false
	}
	if bytes.ContainsAny(text, "-_") {
		encoding = rawBase64URL
	}
	// The decoder skips line breaks, which makes the result too short.
	got, err := encoding.Decode(dst, text)
	return dst, err == nil && got == n
}

// Strict: bits after the end must be zero.
var (
	rawBase64    = base64.RawStdEncoding.Strict()
	rawBase64URL = base64.RawURLEncoding.Strict()
)
