package dispatch

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"sync"
	"time"

	"awareid-gateway/internal/event"
)

// Reason says why a body is in quarantine.
type Reason string

// The reasons.
const (
	ReasonUndecryptable Reason = "undecryptable" // no key at hand opens it
	ReasonMalformed     Reason = "malformed"     // not an event
	ReasonStale         Reason = "stale"         // created before the store's memory began
	ReasonFuture        Reason = "future"        // created in the time to come
	ReasonRefused       Reason = "refused"       // the broker would not take the record
)

// Reasons lists all reasons.
func Reasons() []Reason {
	return []Reason{ReasonUndecryptable, ReasonMalformed, ReasonStale, ReasonFuture, ReasonRefused}
}

// Suspect is a body whose sender is authentic and that cannot be dispatched.
type Suspect struct {
	Body       []byte // as received
	WebhookID  string
	Reason     Reason
	ReceivedAt time.Time
	Release    func() // as in Inbound

	origin Origin // of the event that it is; "": it is none
}

// Quarantine keeps a body whole in the quarantine topic, one record for one
// body however often it comes. Its errors are those of Dispatch, and
// ErrRefused.
func (d *Dispatcher) Quarantine(ctx context.Context, s Suspect) error {
	memory := newHold(s.Release)
	defer memory.release()
	sum := sha256.Sum256(s.Body)
	digest := hex.EncodeToString(sum[:])
	record, err := d.opts.Sealer.seal(s, digest)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNotStored, err)
	}
	_, err = d.deliverOrSpool(ctx, &delivery{
		origin:   s.origin,
		claimKey: suspectKey(s.WebhookID, digest),
		topic:    d.opts.Routes.Quarantine(),
		record:   record,
		identity: suspectIdentity(s.WebhookID, digest),
		webhook:  s.WebhookID,
		received: s.ReceivedAt,
		created:  s.ReceivedAt, // by whoever sent the body
		memory:   memory,
	})
	return err
}

// suspectKey names a body among all claims. No event's claim key has a space
// in it, so none can pass for it.
func suspectKey(webhookID, digest string) string {
	return webhookID + "/sha256 " + digest
}

func suspectIdentity(webhookID, digest string) []event.Header {
	return []event.Header{
		{Key: headerDigest, Value: []byte(digest)},
		{Key: headerWebhook, Value: []byte(webhookID)},
	}
}

// Sealer makes quarantine records and opens them: it encrypts the body, where it
// has a key for that, and puts a MAC over body and headers, so that nobody who
// can write to the topic can pass something off as a body that was authentic.
// It is safe for concurrent use.
//
// The last header, gateway-mac, is the base64 of HMAC-SHA-256 over the key and
// the value of each header before it, in their order, and then the record's
// value, each led by its length in 8 bytes, big endian.
type Sealer struct {
	aead cipher.AEAD // nil: the body stays as it came
	key  []byte      // QUARANTINE_KEY; nil: none

	mu   sync.RWMutex
	macs map[string][][]byte // MAC keys of each webhook, the one to seal with first
}

// macInfo separates a webhook's MAC key from every other use of the same
// secret. The webhook's id follows.
const macInfo = "awareid-gateway quarantine mac v1 "

// keyBytes is the length of QUARANTINE_KEY.
const keyBytes = 32

// NewSealer takes the 32 bytes of QUARANTINE_KEY, or nil, and the secrets of
// each webhook by its id, the current one first. A webhook's MAC key is derived
// from the former where it is there, else from its first secret: 32 bytes of
// HKDF-SHA-256 (RFC 5869) without salt, with the info "awareid-gateway
// quarantine mac v1 " and the webhook's id. The keys that are derived from the
// other secrets open too: a record outlives a rotation, and the day on which
// QUARANTINE_KEY was set. Its error says that the key has another length, and
// nothing of its bytes.
func NewSealer(key []byte, secrets map[string][][]byte) (*Sealer, error) {
	s := &Sealer{key: key, macs: make(map[string][][]byte, len(secrets))}
	if key != nil {
		if len(key) != keyBytes {
			return nil, fmt.Errorf("quarantine key: has %d bytes, wants %d", len(key), keyBytes)
		}
		block, err := aes.NewCipher(key)
		if err != nil {
			return nil, fmt.Errorf("quarantine key: %w", err)
		}
		if s.aead, err = cipher.NewGCMWithRandomNonce(block); err != nil {
			return nil, fmt.Errorf("quarantine key: %w", err)
		}
	}
	for id, all := range secrets {
		if err := s.SetSecrets(id, all); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// SetSecrets puts other secrets of a webhook in place of those it had, in the
// order of NewSealer. Where it fails, they stay.
func (s *Sealer) SetSecrets(webhookID string, secrets [][]byte) error {
	if s.key != nil {
		secrets = slices.Insert(slices.Clone(secrets), 0, s.key)
	}
	macs := make([][]byte, len(secrets))
	for i, secret := range secrets {
		var err error
		if macs[i], err = hkdf.Key(sha256.New, secret, nil, macInfo+webhookID, sha256.Size); err != nil {
			return fmt.Errorf("derive the quarantine MAC key: %w", err)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.macs[webhookID] = macs
	return nil
}

func (s *Sealer) keysOf(webhookID string) [][]byte {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.macs[webhookID]
}

// sealedForm names the encryption of a sealed value: a nonce of 12 bytes, the
// ciphertext, a tag of 16, with the digest as additional data.
const sealedForm = "A256GCM"

// Headers of a quarantine record.
const (
	headerDigest     = "gateway-digest"
	headerWebhook    = "gateway-webhook"
	headerReason     = "gateway-reason"
	headerReceivedAt = "gateway-received-at"
	headerEncryption = "gateway-encryption"
	headerMAC        = "gateway-mac"
)

func (s *Sealer) seal(suspect Suspect, digest string) (Record, error) {
	keys := s.keysOf(suspect.WebhookID)
	if len(keys) == 0 {
		return Record{}, fmt.Errorf("no quarantine key for webhook %s", suspect.WebhookID)
	}
	value := suspect.Body
	headers := append(suspectIdentity(suspect.WebhookID, digest),
		event.Header{Key: headerReason, Value: []byte(suspect.Reason)},
		event.Header{Key: headerReceivedAt, Value: timestamp(suspect.ReceivedAt)},
	)
	if s.aead != nil {
		value = s.aead.Seal(nil, nil, suspect.Body, []byte(digest)) // #nosec G407 -- the AEAD draws its nonce itself
		headers = append(headers, event.Header{Key: headerEncryption, Value: []byte(sealedForm)})
	}
	headers = append(headers, event.Header{Key: headerMAC, Value: sign(keys[0], headers, value)})
	return Record{Key: digest, Value: value, Headers: headers}, nil
}

// sign is the MAC that Sealer describes. The lengths keep any byte from moving
// from one part to the next.
func sign(key []byte, headers []event.Header, value []byte) []byte {
	mac := hmac.New(sha256.New, key)
	part := func(b []byte) {
		mac.Write(binary.BigEndian.AppendUint64(nil, uint64(len(b))))
		mac.Write(b)
	}
	for _, h := range headers {
		part([]byte(h.Key))
		part(h.Value)
	}
	part(value)
	return base64.StdEncoding.AppendEncode(nil, mac.Sum(nil))
}
