// Package decrypt opens the encrypted body of a callback with the right key.
//
// The AwareID REST reference 12.1 encrypts webhook bodies by default and does
// not say how; encrypted bodies elsewhere in it are JSON objects of "key", "iv"
// and "p". So an [Opener] takes that envelope, or bare base64 of iv ‖
// ciphertext, and tries in this order: AES-GCM with a 12-byte and a 16-byte iv
// (tag at the end, no additional data), then AES-CBC with PKCS #7. The AES key
// is a webhook secret, or is wrapped in "key" with RSA-OAEP (RFC 8017).
//
// Guarantee. Whatever prevents opening, the error is ErrDecrypt and no more:
// who sends bodies must not learn which step failed. CBC authenticates nothing,
// so [Opener.Open] may only be given a body over which a MAC held;
// [Opener.OpenAuthenticated] is for all others and opens GCM alone.
//
// Limits. An envelope is opened once: one inside another comes back sealed.
// The package does no I/O and does not log.
package decrypt

import (
	"crypto/rsa"
	"errors"
	"iter"
	"sync/atomic"

	"github.com/go-json-experiment/json/jsontext"
)

// ErrDecrypt is the error for every failure to open a body: a wrong key, a
// wrong tag or padding, bad base64, a truncated or malformed envelope.
var ErrDecrypt = errors.New("body cannot be decrypted")

// NoSecret is the index of no secret.
const NoSecret = -1

// Options hold the keys of an [Opener].
type Options struct {
	// Secrets are the webhook's secrets, the current first. The AES key is the
	// 32 bytes that a secret is base64 of (any alphabet, padded or not), else
	// its own characters where there are 16, 24 or 32 of them. A secret that is
	// neither opens nothing; that is no error, as bodies need not be encrypted.
	Secrets []string

	PrivateKeys []*rsa.PrivateKey // each may open wrapped keys; none: envelopes with a "key" stay closed
}

// Opened is what a body turned out to hold.
type Opened struct {
	Plaintext []byte // in memory of its own; the body itself where it was not sealed
	Sealed    bool   // false: the body is no envelope
	Cipher    string // "A256GCM" (12-byte iv), "A256GCM-16" (16-byte iv), "A256CBC", likewise with 128 and 192; "" if not sealed
	Wrap      string // "RSA-OAEP-SHA256", "RSA-OAEP-SHA1", "RSA-OAEP-SHA256-MGF1SHA1"; "" where no key was wrapped
	Secret    int    // index of the secret that opened it; NoSecret if not sealed or the key was wrapped
}

// Opener opens bodies. It is safe for concurrent use.
type Opener struct {
	keys    []*key // by secret; nil where it is no AES key
	private []*rsa.PrivateKey
	wrap    atomic.Int32 // the padding that unwrapped last, tried first
}

// New returns an Opener. It refuses a private key under 2048 bits.
func New(o Options) (*Opener, error) {
	if err := checkSizes(o.PrivateKeys); err != nil {
		return nil, err
	}
	return &Opener{private: o.PrivateKeys, keys: newKeys(o.Secrets)}, nil
}

// With returns an Opener with other secrets and the same private keys. o stays as
// it is.
func (o *Opener) With(secrets []string) *Opener { return o.with(newKeys(secrets), o.private) }

// WithPrivateKeys returns an Opener with other private keys and the same secrets.
// It refuses one under 2048 bits. o stays as it is.
func (o *Opener) WithPrivateKeys(private []*rsa.PrivateKey) (*Opener, error) {
	if err := checkSizes(private); err != nil {
		return nil, err
	}
	return o.with(o.keys, private), nil
}

func (o *Opener) with(keys []*key, private []*rsa.PrivateKey) *Opener {
	next := &Opener{private: private, keys: keys}
	next.wrap.Store(o.wrap.Load())
	return next
}

// Open returns what body holds. A JSON object other than an envelope comes
// back as it is, for the caller to parse; anything else must open or is
// ErrDecrypt. An envelope has the members iv and p, may have key, and no
// others; a key that is absent, null or "" means that a secret is the key. The
// secret with index first is tried before the others; NoSecret: no preference.
//
// The caller promises that a MAC over body held: only then is it safe to let a
// sender see whether a CBC body opened. Open does not change or retain body.
func (o *Opener) Open(body []byte, first int) (Opened, error) {
	s, isSealed, err := read(body)
	switch {
	case err != nil:
		return Opened{}, err
	case !isSealed:
		return Opened{Plaintext: body, Secret: NoSecret}, nil
	case len(s.key) > 0:
		return o.openWrapped(&s)
	}
	if opened, err := o.openGCM(&s, first, nil); err == nil {
		return opened, nil
	}
	return o.openCBC(&s, first)
}

// OpenAuthenticated opens a body that nothing vouches for but its own tag: only
// AES-GCM under a secret of which usable holds (of its index; nil: all). CBC,
// a wrapped key, which anybody could have made, and a plaintext body are
// ErrDecrypt, as is every failure. It does not change or retain body.
func (o *Opener) OpenAuthenticated(body []byte, usable func(secret int) bool) (Opened, error) {
	s, isSealed, err := read(body)
	if err != nil || !isSealed || len(s.key) > 0 {
		return Opened{}, ErrDecrypt
	}
	return o.openGCM(&s, NoSecret, usable)
}

func (o *Opener) openGCM(s *sealed, first int, usable func(int) bool) (Opened, error) {
	for i, k := range o.ordered(first) {
		if usable != nil && !usable(i) {
			continue
		}
		if plaintext, cipher, ok := k.openGCM(s); ok {
			return Opened{Plaintext: plaintext, Sealed: true, Cipher: cipher, Secret: i}, nil
		}
	}
	return Opened{}, ErrDecrypt
}

func (o *Opener) openCBC(s *sealed, first int) (Opened, error) {
	for i, k := range o.ordered(first) {
		if plaintext, cipher, ok := k.openCBC(s); ok {
			return Opened{Plaintext: plaintext, Sealed: true, Cipher: cipher, Secret: i}, nil
		}
	}
	return Opened{}, ErrDecrypt
}

func (o *Opener) openWrapped(s *sealed) (Opened, error) {
	k, wrap := o.unwrap(s.key)
	if k == nil {
		return Opened{}, ErrDecrypt
	}
	plaintext, cipher, ok := k.openGCM(s)
	if !ok {
		plaintext, cipher, ok = k.openCBC(s)
	}
	if !ok {
		return Opened{}, ErrDecrypt
	}
	return Opened{Plaintext: plaintext, Sealed: true, Cipher: cipher, Wrap: wrap, Secret: NoSecret}, nil
}

// ordered yields the secrets that are AES keys, the one at first before others.
func (o *Opener) ordered(first int) iter.Seq2[int, *key] {
	return func(yield func(int, *key) bool) {
		known := first >= 0 && first < len(o.keys) && o.keys[first] != nil
		if known && !yield(first, o.keys[first]) {
			return
		}
		for i, k := range o.keys {
			if i != first && k != nil && !yield(i, k) {
				return
			}
		}
	}
}

// isObject reports whether plaintext is one JSON object. What is in it is for
// the reader of events to judge.
func isObject(plaintext jsontext.Value) bool {
	return plaintext.Kind() == jsontext.KindBeginObject &&
		plaintext.IsValid(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
}
