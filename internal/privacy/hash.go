package privacy

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"hash"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// hashInfo separates this use of the key from every other.
const hashInfo = "awareid-gateway privacy hash v1"

const (
	hashPrefix = "hmac-sha256:"
	hashBytes  = len(hashPrefix) + (sha256.Size*8+5)/6
)

// keyBytes is the length of PRIVACY_HASH_KEY.
const keyBytes = 32

// deriveKey makes the HMAC key. Its error says the length, and nothing of the key.
func deriveKey(key []byte) ([]byte, error) {
	if len(key) != keyBytes {
		return nil, fmt.Errorf("privacy hash key: has %d bytes, wants %d", len(key), keyBytes)
	}
	derived, err := hkdf.Key(sha256.New, key, nil, hashInfo, sha256.Size)
	if err != nil {
		return nil, fmt.Errorf("derive the privacy hash key: %w", err)
	}
	return derived, nil
}

// IsHash reports whether text has the form of a hashed value.
func IsHash(text string) bool {
	encoded, ok := strings.CutPrefix(text, hashPrefix)
	if !ok || len(text) != hashBytes {
		return false
	}
	_, err := base64.RawURLEncoding.Strict().DecodeString(encoded)
	return err == nil
}

// hasher makes hashes, one at a time.
type hasher struct {
	mac       hash.Hash
	canonical jsontext.Value
	sum       []byte
}

func newHasher(key []byte) *hasher { return &hasher{mac: hmac.New(sha256.New, key)} }

// appendHash appends the hash of a JSON value, without quotes.
func (h *hasher) appendHash(dst []byte, v jsontext.Value) ([]byte, error) {
	h.canonical = append(h.canonical[:0], v...)
	err := h.canonical.Canonicalize(jsontext.CanonicalizeRawInts(false), jsontext.AllowDuplicateNames(true))
	if err != nil {
		return dst, errNotJSON // its words may quote the value
	}
	h.mac.Reset()
	h.mac.Write(h.canonical)
	h.sum = h.mac.Sum(h.sum[:0])
	return base64.RawURLEncoding.AppendEncode(append(dst, hashPrefix...), h.sum), nil
}

// keptBytes is how much memory a hasher keeps for the next value.
const keptBytes = 16 << 10

// forget lets go of the value that was hashed last.
func (h *hasher) forget() {
	if cap(h.canonical) > keptBytes {
		h.canonical = nil
	}
	clear(h.canonical[:cap(h.canonical)])
}
