package verify

import (
	"crypto/sha512"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// secret is a Secret ready for use.
type secret struct {
	index    int
	value    string
	notAfter time.Time
	signers  []*signer
	known    atomic.Pointer[knowledge] // what matched last under this secret
}

func newSecrets(form Form, all []Secret) ([]*secret, error) {
	if len(all) == 0 {
		return nil, errors.New("no secret to verify signatures with")
	}
	secrets := make([]*secret, len(all))
	for i, s := range all {
		signers, err := newSigners(form, s.Value)
		if err != nil {
			return nil, fmt.Errorf("secret at index %d: %w", i, err)
		}
		secrets[i] = &secret{index: i, value: s.Value, notAfter: s.NotAfter, signers: signers}
	}
	return secrets, nil
}

// live asks for the time only where a secret has an end.
func (s *secret) live(now func() time.Time) bool {
	return s.notAfter.IsZero() || now().Before(s.notAfter)
}

// attempt is the work on one request. It is reused, so that the usual request
// allocates nothing.
type attempt struct {
	reader
	mac   []byte // room for the MAC that the candidates are compared with
	tried []byte // by secret: a bit for each scheme that was tried
}

func newAttempts() *sync.Pool {
	return &sync.Pool{New: func() any { return newAttempt() }}
}

func newAttempt() *attempt {
	a := &attempt{reader: newReader(), mac: make([]byte, 0, sha512.Size)}
	a.visit = a.header
	return a
}

func (a *attempt) begin(h Headers, only, expect string, secrets int) {
	a.read(h, only, expect)
	a.tried = append(a.tried[:0], make([]byte, secrets)...)
}

// worthwhile reports whether a MAC under one scheme could still match.
func (a *attempt) worthwhile(s *secret, scheme int) bool {
	return a.tried[s.index]&(1<<scheme) == 0 && a.has(s.signers[scheme].size)
}

// try returns the candidate that is the MAC of payload under one scheme.
func (a *attempt) try(s *secret, scheme int, payload []byte) *candidate {
	if !a.worthwhile(s, scheme) {
		return nil
	}
	a.tried[s.index] |= 1 << scheme
	a.mac = s.signers[scheme].appendMAC(a.mac[:0], payload)
	return a.find(a.mac)
}
