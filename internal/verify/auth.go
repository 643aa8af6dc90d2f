package verify

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"strings"
)

// authHeader is the header that every request must carry, with one of several
// values.
type authHeader struct {
	key     string
	digests [][sha256.Size]byte
}

func newAuthHeader(key, value string) (*authHeader, error) {
	switch {
	case key == "" && value == "":
		return nil, nil
	case key == "" || value == "":
		return nil, errors.New("an auth header needs both a key and a value")
	}
	a := &authHeader{key: key}
	for line := range strings.SplitSeq(value, "\n") {
		if line == "" {
			return nil, errors.New("a value of the auth header is empty")
		}
		a.digests = append(a.digests, sha256.Sum256([]byte(line)))
	}
	return a, nil
}

// WithAuthHeader returns a Verifier that wants other values of the auth header, in
// the form of Options, and is v otherwise; v stays as it is. It refuses to begin or
// to end with asking for the header.
func (v *Verifier) WithAuthHeader(value string) (*Verifier, error) {
	if v.auth == nil {
		return nil, errors.New("there is no auth header")
	}
	auth, err := newAuthHeader(v.auth.key, value)
	if err != nil {
		return nil, err
	}
	next := v.copy(v.secrets)
	next.auth = auth
	next.last.Store(v.last.Load())
	return next, nil
}

// Authorize reports whether h holds the auth header. It returns nil where none
// is configured, else ErrAuthHeader unless the header is there and every
// occurrence of it has an agreed value: one that a sender could add beside the
// right one must not go unnoticed. Digests are compared, each with every value's
// and in constant time, so that neither the length of a value shows nor which of
// them it was.
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
		seen, equal = true, equal&v.auth.holds(digest)
	}
	if !seen || equal != 1 {
		return ErrAuthHeader
	}
	return nil
}

// holds is 1 for the digest of an agreed value, else 0.
func (a *authHeader) holds(digest [sha256.Size]byte) (any int) {
	for i := range a.digests {
		any |= subtle.ConstantTimeCompare(digest[:], a.digests[i][:])
	}
	return any
}
