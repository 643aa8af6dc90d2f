// Package verify decides whether a callback is authentic: whether its headers
// hold the agreed auth header, and a MAC of exactly the bytes that came.
//
// The AwareID REST reference 12.1 says that an "HMAC signature will be
// calculated from the message body and added to header", but neither which
// header, nor how the MAC is written, nor which hash or which bytes of the
// secret make it. So a [Verifier] takes any header whose value is an
// HMAC-SHA-256 or HMAC-SHA-512 of the payload under one of the secrets: such a
// value proves knowledge of the secret whatever the header's name. What
// matched is remembered and tried first, so the usual request costs one MAC.
//
// Limits. MD5 and SHA-1 are never accepted. There is no signed time in the
// scheme, so a replay is authentic; telling repeats apart is the caller's work.
// The package does no I/O and does not log.
package verify

import (
	"errors"
	"iter"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// The reasons to refuse a request. All deserve the same answer to the sender;
// they differ for the operator.
var (
	ErrAuthHeader       = errors.New("auth header missing or wrong")
	ErrNotSigned        = errors.New("no header holds a signature")
	ErrNoValidSignature = errors.New("no signature is valid")
	ErrExpiredSecret    = errors.New("signature is valid, but its secret has expired")
)

// While something is known about how the platform signs, requests that fail
// may have so many bytes hashed under other schemes. It is bytes that are
// counted: forged requests must not buy much work with large bodies, nor keep a
// genuine request from being recognized by being many.
const (
	discoveryRate  rate.Limit = 16 << 20 // bytes a second
	discoveryBurst            = 16 << 20
	discoveryFixed            = 256 // what a MAC costs beside its payload
)

// Headers yields each header's name and value. Both belong to the request and
// are read only while they are yielded.
type Headers = iter.Seq2[[]byte, []byte]

// Options say what a [Verifier] accepts.
type Options struct {
	Secrets []Secret // at least one, the current first
	Form    Form     // "" is FormAuto
	Header  string   // the one header that may hold a signature; "" or "auto": any

	// The auth header that the webhook was registered with: both or neither. Where
	// its value is about to change, AuthHeaderValue holds several, one a line.
	AuthHeaderKey, AuthHeaderValue string

	Now func() time.Time // nil is time.Now

	// OnLearn, if set, is called with what matched when that is the first match
	// of a secret, or differs from the one before. It is called in the request's
	// goroutine, possibly in several at once. The header is the sender's choice:
	// a metric should show the last one instead of a series for each.
	OnLearn func(Match)
}

// Match says what authenticated a payload.
type Match struct {
	Secret   int    // index into Options.Secrets
	Header   string // in canonical case
	Encoding string // Hex, Base64 or Base64URL; Base64 where both read the same
	Hash     string // SHA256 or SHA512
	Form     Form   // FormBase64 or FormRaw
}

// Verifier authenticates requests of one webhook. It is safe for concurrent use.
type Verifier struct {
	secrets []*secret
	form    Form
	header  string
	auth    *authHeader
	now     func() time.Time
	onLearn func(Match)

	last      atomic.Pointer[knowledge] // the latest of all secrets; nil: nothing matched yet
	discovery *rate.Limiter
	relearn   *rate.Limiter
	attempts  *sync.Pool
}

// New returns a Verifier. An error says which option is wrong and why; it
// never holds a secret or the auth header's value.
func New(o Options) (*Verifier, error) {
	v := &Verifier{
		form:      o.Form,
		header:    o.Header,
		now:       o.Now,
		onLearn:   o.OnLearn,
		discovery: rate.NewLimiter(discoveryRate, discoveryBurst),
		relearn:   rate.NewLimiter(relearnRate, relearnBurst),
		attempts:  newAttempts(),
	}
	if strings.EqualFold(v.header, "auto") {
		v.header = ""
	}
	if v.now == nil {
		v.now = time.Now
	}
	var err error
	if v.secrets, err = newSecrets(o.Form, o.Secrets); err != nil {
		return nil, err
	}
	if v.auth, err = newAuthHeader(o.AuthHeaderKey, o.AuthHeaderValue); err != nil {
		return nil, err
	}
	return v, nil
}

// Verify reports what in h is a MAC of payload under a secret that has not
// reached its NotAfter. Values that have the length of a MAC are looked at, at
// most 8 of them, and compared in constant time. It returns ErrNotSigned where
// there is none, ErrExpiredSecret where one was made with a secret that has
// ended (as far as the bound on extra work let it look), and
// ErrNoValidSignature otherwise. It retains neither h nor payload.
func (v *Verifier) Verify(h Headers, payload []byte) (Match, error) {
	last := v.last.Load()
	a := v.attempts.Get().(*attempt)
	defer v.attempts.Put(a)
	a.begin(h, v.header, last.header(), len(v.secrets))
	if len(a.candidates) == 0 {
		return Match{}, ErrNotSigned
	}
	for s := range v.ordered(last) {
		k := s.knownOr(last)
		if k == nil || !s.live(v.now) {
			continue
		}
		if c := a.try(s, k.scheme, payload); c != nil {
			return v.accept(s, k.scheme, c), nil
		}
	}
	return v.discover(a, payload, last)
}

// discover tries all that Verify has not: schemes that are not known for a
// secret, and secrets that have ended, so that the operator hears of those.
func (v *Verifier) discover(a *attempt, payload []byte, last *knowledge) (Match, error) {
	err := ErrNoValidSignature
	for s := range v.ordered(last) {
		for scheme := range s.signers {
			if !a.worthwhile(s, scheme) {
				continue
			}
			if last != nil && !v.discovery.AllowN(v.now(), min(len(payload)+discoveryFixed, discoveryBurst)) {
				return Match{}, err
			}
			switch c := a.try(s, scheme, payload); {
			case c != nil && s.live(v.now):
				return v.accept(s, scheme, c), nil
			case c != nil:
				err = ErrExpiredSecret
			}
		}
	}
	return Match{}, err
}

// ordered yields the secret that matched last, then the others as configured.
func (v *Verifier) ordered(last *knowledge) iter.Seq[*secret] {
	return func(yield func(*secret) bool) {
		first := 0
		if last != nil {
			first = last.match.Secret
		}
		if !yield(v.secrets[first]) {
			return
		}
		for i, s := range v.secrets {
			if i != first && !yield(s) {
				return
			}
		}
	}
}
