package simulator

import (
	"cmp"
	"crypto/hmac"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"net/http"
)

// DefaultSignatureHeader carries the signature where a [Scheme] names no other
// header. The reference does not name one.
const DefaultSignatureHeader = "X-Aware-Signature"

// secretBytes is the length of a decoded webhook secret, by the reference's
// samples.
const secretBytes = 32

// Scheme is one way in which a platform may encrypt and sign a callback. An
// empty field means its default, and the zero value with a Secret is
// AES-256-GCM under the secret, signed with HMAC-SHA-256 in hex.
type Scheme struct {
	// Secret is the webhook secret: base64 of 32 bytes.
	Secret string
	// Form says what the MAC's key is: "base64" (default), the decoded secret,
	// or "raw", the secret's characters. The cipher's key is always decoded.
	Form string

	// Unsigned leaves the signature out (addSignatureHeader is false).
	Unsigned bool
	// Header carries the signature.
	Header string
	// Hash is "sha256" (default) or "sha512".
	Hash string
	// Encoding of the MAC is "hex" (default), "base64", "base64url", or
	// "base64raw" and "base64urlraw" without padding.
	Encoding string
	// Prefix stands before the encoded MAC, such as "sha256=", "v1=" or "v1,".
	Prefix string
	// Covers is what the MAC is over: "body" (default), as it is sent, or
	// "plaintext", the event before it is encrypted.
	Covers string

	// Cipher is "gcm" (default, 12-byte iv), "gcm16" (16-byte iv), "cbc"
	// (PKCS#7), each in an envelope {"key","iv","p"}; "bare-gcm" or
	// "bare-cbc", base64 of iv and ciphertext; or "none".
	Cipher string
	// PublicKey, if there is one, makes envelopes use a fresh AES-256 key that
	// is wrapped for it by RSA-OAEP with SHA-256, in place of the secret.
	PublicKey *rsa.PublicKey

	// AuthHeaderKey and AuthHeaderValue are the header that a registration may
	// ask for. Empty: none.
	AuthHeaderKey, AuthHeaderValue string
}

// Seal does to an event what the platform does before it posts it: encrypt, then
// sign, then set the headers. The body is fresh memory unless the cipher is
// "none", when it is the event itself. The iv and a wrapped key come from
// crypto/rand always: a repeated iv would give away the secret's GCM key. It
// returns an error for an option that this type does not list and for a secret
// that is not base64 of 32 bytes; the error never holds the secret. Safe for
// concurrent use.
func (s Scheme) Seal(event []byte) (body []byte, header http.Header, err error) {
	body, err = s.encrypt(event)
	if err != nil {
		return nil, nil, fmt.Errorf("encrypt event: %w", err)
	}
	header = http.Header{"Content-Type": {s.contentType()}}
	if s.AuthHeaderKey != "" {
		header.Set(s.AuthHeaderKey, s.AuthHeaderValue)
	}
	if s.Unsigned {
		return body, header, nil
	}
	signature, err := s.sign(event, body)
	if err != nil {
		return nil, nil, fmt.Errorf("sign event: %w", err)
	}
	header.Set(s.signatureHeader(), signature)
	return body, header, nil
}

func (s Scheme) contentType() string {
	if s.bare() {
		return "text/plain"
	}
	return "application/json"
}

func (s Scheme) signatureHeader() string { return cmp.Or(s.Header, DefaultSignatureHeader) }

func (s Scheme) sign(event, body []byte) (string, error) {
	key, err := s.macKey()
	if err != nil {
		return "", err
	}
	newHash, err := s.hash()
	if err != nil {
		return "", err
	}
	mac := hmac.New(newHash, key)
	switch cmp.Or(s.Covers, "body") {
	case "body":
		mac.Write(body)
	case "plaintext":
		mac.Write(event)
	default:
		return "", fmt.Errorf("unknown cover %q", s.Covers)
	}
	encoded, err := s.encode(mac.Sum(nil))
	return s.Prefix + encoded, err
}

func (s Scheme) macKey() ([]byte, error) {
	switch cmp.Or(s.Form, "base64") {
	case "base64":
		return s.secret()
	case "raw":
		return []byte(s.Secret), nil
	}
	return nil, fmt.Errorf("unknown secret form %q", s.Form)
}

func (s Scheme) secret() ([]byte, error) {
	key, err := base64.StdEncoding.DecodeString(s.Secret)
	if err != nil || len(key) != secretBytes {
		return nil, errors.New("the secret is not base64 of 32 bytes")
	}
	return key, nil
}

func (s Scheme) hash() (func() hash.Hash, error) {
	switch cmp.Or(s.Hash, "sha256") {
	case "sha256":
		return sha256.New, nil
	case "sha512":
		return sha512.New, nil
	}
	return nil, fmt.Errorf("unknown hash %q", s.Hash)
}

func (s Scheme) encode(mac []byte) (string, error) {
	switch cmp.Or(s.Encoding, "hex") {
	case "hex":
		return hex.EncodeToString(mac), nil
	case "base64":
		return base64.StdEncoding.EncodeToString(mac), nil
	case "base64url":
		return base64.URLEncoding.EncodeToString(mac), nil
	case "base64raw":
		return base64.RawStdEncoding.EncodeToString(mac), nil
	case "base64urlraw":
		return base64.RawURLEncoding.EncodeToString(mac), nil
	}
	return "", fmt.Errorf("unknown encoding %q", s.Encoding)
}
