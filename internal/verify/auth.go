package verify

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
)

// authHeader is the header that every request must carry.
type authHeader struct {
	key    string
	digest [sha256.Size]byte
}

func newAuthHeader(key, value string) (*authHeader, error) {
	switch {
	case key == "" && value == "":
		return nil, nil
	case key == "" || value == "":
		return nil, errors.New("an auth header needs both a key and a value")
	}
	return &authHeader{key: key, digest: sha256.Sum256([]byte(value))}, nil
}

// Authorize reports whether h holds the auth header. It returns nil where none
// is configured, else ErrAuthHeader unless the header is there and every
// occurrence of it has the agreed value: one that a sender could add beside the
// right one must not go unnoticed. Digests are compared, in constant time, so
// that not even the length of the value shows.
func (v *Verifier) Authorize(h Headers) error {
	if v.auth == nil {
		return nil
	}
	seen, equal := false, 1
	for name, value := range h {
		if !equalFold(name, v.auth.key) {
			continue
		}
		digest := sha256.Sum256(value)
		seen, equal = true, equal&subtle.ConstantTimeCompare(digest[:], v.auth.digest[:])
	}
	if !seen || equal != 1 {
		return ErrAuthHeader
	}
	return nil
}
