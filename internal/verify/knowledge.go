package verify

import (
	"net/textproto"

	"golang.org/x/time/rate"
)

// A change of header or encoding costs no extra MAC, but whoever replays an
// authentic payload can cause one at will, so OnLearn hears of few.
const (
	relearnRate  rate.Limit = 1.0 / 60 // changes a second
	relearnBurst            = 8
)

// knowledge is a match, with the index of its signer, which is the same for
// every secret.
type knowledge struct {
	scheme int
	match  Match
}

// knownOr returns what is known of s, else what a sibling taught.
func (s *secret) knownOr(sibling *knowledge) *knowledge {
	if k := s.known.Load(); k != nil {
		return k
	}
	return sibling
}

// covers reports whether c says nothing that k does not.
func (k *knowledge) covers(scheme int, c *candidate) bool {
	if k == nil || k.scheme != scheme || !equalFold(c.header, k.match.Header) {
		return false
	}
	return c.encoding == k.match.Encoding || c.encoding == "" && k.match.Encoding != Hex
}

func (k *knowledge) header() string {
	if k == nil {
		return ""
	}
	return k.match.Header
}

// accept returns the match that c is and remembers it.
func (v *Verifier) accept(s *secret, scheme int, c *candidate) Match {
	old := s.known.Load()
	if old.covers(scheme, c) {
		if v.last.Load() != old {
			v.last.Store(old)
		}
		return old.match
	}
	k := &knowledge{scheme: scheme, match: Match{
		Secret:   s.index,
		Header:   textproto.CanonicalMIMEHeaderKey(string(c.header)),
		Encoding: c.encoding,
		Hash:     s.signers[scheme].hash,
		Form:     s.signers[scheme].form,
	}}
	if c.encoding == "" {
		k.match.Encoding = Base64
	}
	cheap := old != nil && old.scheme == scheme
	if cheap && !v.relearn.AllowN(v.now(), 1) {
		return k.match
	}
	if s.known.CompareAndSwap(old, k) {
		v.last.Store(k)
		if v.onLearn != nil {
			v.onLearn(k.match)
		}
	}
	return k.match
}
