package dispatch

import (
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"time"

	"awareid-gateway/internal/event"
	"awareid-gateway/internal/privacy"
)

// ErrForged says that a quarantine record is not known to be the gateway's: its
// MAC holds under no key that is configured.
var ErrForged = errors.New("the gateway's MAC does not hold under any configured key")

// Sealed is a record as it lies in the quarantine topic. What it says of itself
// is true only if Sealer.Open opens it: whoever may write to the topic can make
// one.
type Sealed struct {
	event.Place
	Offset  int64
	Time    time.Time // of the record
	Headers []event.Header
	Value   []byte
}

// Digest is the hexadecimal SHA-256 of the body that the record claims to hold.
func (s Sealed) Digest() string { return s.header(headerDigest) }

// Webhook is the id of the webhook that the record claims to be of.
func (s Sealed) Webhook() string { return s.header(headerWebhook) }

// Reason is why the record claims to be in quarantine.
func (s Sealed) Reason() Reason { return Reason(s.header(headerReason)) }

// before orders records by when their bodies came, then by their own time.
func (s Sealed) before(t Sealed) bool {
	if a, b := s.received(), t.received(); !a.Equal(b) {
		return a.Before(b)
	}
	return s.Time.Before(t.Time)
}

// received is when the body came, as the record claims; a record's own time has
// only milliseconds.
func (s Sealed) received() time.Time {
	if at, err := time.Parse(time.RFC3339Nano, s.header(headerReceivedAt)); err == nil {
		return at
	}
	return s.Time
}

func (s Sealed) header(key string) string { return headerOf(s.Headers, key) }

func headerOf(headers []event.Header, key string) string {
	for _, h := range headers {
		if h.Key == key {
			return string(h.Value)
		}
	}
	return ""
}

// Open checks a record's MAC and returns what was sealed in it. The body can be
// the record's own memory. Every failure is ErrForged.
func (s *Sealer) Open(r Sealed) (Suspect, error) {
	macs, aeads := s.in(r.Webhook())
	if !genuine(r, macs) {
		return Suspect{}, ErrForged
	}
	body, err := unseal(r, aeads)
	if err != nil {
		return Suspect{}, ErrForged
	}
	received, err := time.Parse(time.RFC3339Nano, r.header(headerReceivedAt))
	sum := sha256.Sum256(body)
	if err != nil || hex.EncodeToString(sum[:]) != r.Digest() {
		return Suspect{}, ErrForged
	}
	return Suspect{
		Body: body, WebhookID: r.Webhook(), Reason: r.Reason(), ReceivedAt: received,
		Redacted: privacy.Done(r.header(headerPrivacy)),
	}, nil
}

func genuine(r Sealed, macs [][]byte) bool {
	last := len(r.Headers) - 1
	if last < 0 || r.Headers[last].Key != headerMAC {
		return false
	}
	for _, key := range macs {
		if hmac.Equal(sign(key, r.Headers[:last], r.Value), r.Headers[last].Value) {
			return true
		}
	}
	return false
}

var errNoKey = errors.New("no key opens the body")

func unseal(r Sealed, aeads []cipher.AEAD) ([]byte, error) {
	switch r.header(headerEncryption) {
	case "":
		return r.Value, nil
	case sealedForm:
		for _, aead := range aeads {
			if body, err := aead.Open(nil, nil, r.Value, []byte(r.Digest())); err == nil {
				return body, nil
			}
		}
	}
	return nil, errNoKey
}
