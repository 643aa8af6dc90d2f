package dispatch

import (
	"bytes"
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
	"awareid-gateway/internal/privacy"
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
	Body       []byte // as received, but for what Redacted names
	WebhookID  string
	Reason     Reason
	ReceivedAt time.Time
	Release    func() // as in Inbound
	Plaintext  []byte // the body without its coding where it came unencrypted; else nil
	Redacted   privacy.Done

	origin Origin // of the event that it is; "": it is none
}

// Quarantine keeps a body in the quarantine topic, one record for one body however
// often it comes. Options.Privacy is applied to a body that came unencrypted and is
// JSON; that is then the body, for the digest too, which would else betray what was
// taken out to whoever can guess it. Any other is kept whole. Its errors are those of
// Dispatch, and ErrRefused.
func (d *Dispatcher) Quarantine(ctx context.Context, s Suspect) error {
	memory := newHold(s.Release)
	defer memory.release()
	s = d.redacted(s)
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

func (d *Dispatcher) redacted(s Suspect) Suspect {
	if s.Plaintext == nil {
		return s
	}
	if body, done, err := d.opts.Privacy.Redact(s.Plaintext, s.Redacted); err == nil && done != "" {
		s.Body, s.Redacted = body, done
	}
	return s
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
	mu      sync.RWMutex
	keys    [][]byte            // QUARANTINE_KEY, the one to seal with first; none: bodies stay as they came
	aeads   []cipher.AEAD       // of keys
	secrets map[string][][]byte // of each webhook
	macs    map[string][][]byte // MAC keys of each webhook, the one to seal with first
}

// macInfo separates a webhook's MAC key from every other use of the same
// secret. The webhook's id follows.
const macInfo = "awareid-gateway quarantine mac v1 "

// keyBytes is the length of QUARANTINE_KEY.
const keyBytes = 32

// NewSealer takes the keys of QUARANTINE_KEY, 32 bytes each and the current one
// first, or none, and the secrets of each webhook by its id, the current one
// first. A webhook's MAC key is derived from the former where there are any, else
// from its first secret: 32 bytes of HKDF-SHA-256 (RFC 5869) without salt, with
// the info "awareid-gateway quarantine mac v1 " and the webhook's id. Every key
// opens, and so do those that are derived from every secret: a record outlives a
// rotation, and the day on which QUARANTINE_KEY was set. Its error says that a key
// has another length, and nothing of its bytes. No argument is retained.
func NewSealer(keys [][]byte, secrets map[string][][]byte) (*Sealer, error) {
	s := &Sealer{secrets: make(map[string][][]byte, len(secrets)), macs: make(map[string][][]byte, len(secrets))}
	if err := s.SetKeys(keys); err != nil {
		return nil, err
	}
	for id, all := range secrets {
		if err := s.SetSecrets(id, all); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// SetKeys puts other keys in place of those of before, which are overwritten; they
// are as with NewSealer. Where it fails, those of before stay.
func (s *Sealer) SetKeys(keys [][]byte) error {
	aeads := make([]cipher.AEAD, len(keys))
	for i, key := range keys {
		var err error
		if aeads[i], err = newQuarantineCipher(key); err != nil {
			return fmt.Errorf("quarantine key: %w", err)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make(map[string][][]byte, len(s.secrets))
	for id, secrets := range s.secrets {
		var err error
		if all[id], err = macKeys(id, keys, secrets); err != nil {
			return err
		}
	}
	overwrite(s.keys)
	s.keys, s.aeads, s.macs = copies(keys), aeads, all
	return nil
}

func newQuarantineCipher(key []byte) (cipher.AEAD, error) {
	if len(key) != keyBytes {
		return nil, fmt.Errorf("has %d bytes, wants %d", len(key), keyBytes)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// SetSecrets puts other secrets of a webhook in place of those it had, which are
// overwritten; they are as with NewSealer. Where it fails, they stay.
func (s *Sealer) SetSecrets(webhookID string, secrets [][]byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	macs, err := macKeys(webhookID, s.keys, secrets)
	if err != nil {
		return err
	}
	overwrite(s.secrets[webhookID])
	s.secrets[webhookID], s.macs[webhookID] = copies(secrets), macs
	return nil
}

// macKeys are derived from each key, then from each secret.
func macKeys(webhookID string, keys, secrets [][]byte) ([][]byte, error) {
	var macs [][]byte
	for _, from := range slices.Concat(keys, secrets) {
		mac, err := hkdf.Key(sha256.New, from, nil, macInfo+webhookID, sha256.Size)
		if err != nil {
			return nil, fmt.Errorf("derive the quarantine MAC key: %w", err)
		}
		macs = append(macs, mac)
	}
	return macs, nil
}

func copies(keys [][]byte) [][]byte {
	all := make([][]byte, len(keys))
	for i, key := range keys {
		all[i] = bytes.Clone(key)
	}
	return all
}

func overwrite(keys [][]byte) {
	for _, key := range keys {
		clear(key)
	}
}

// in returns what is in force for a webhook: its MAC keys and the ciphers, each with
// the one to seal with first.
func (s *Sealer) in(webhookID string) (macs [][]byte, aeads []cipher.AEAD) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.macs[webhookID], s.aeads
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
	macs, aeads := s.in(suspect.WebhookID)
	if len(macs) == 0 {
		return Record{}, fmt.Errorf("no quarantine key for webhook %s", suspect.WebhookID)
	}
	value := suspect.Body
	headers := append(suspectIdentity(suspect.WebhookID, digest),
		event.Header{Key: headerReason, Value: []byte(suspect.Reason)},
		event.Header{Key: headerReceivedAt, Value: timestamp(suspect.ReceivedAt)},
	)
	if suspect.Redacted != "" {
		headers = append(headers, event.Header{Key: headerPrivacy, Value: []byte(suspect.Redacted)})
	}
	if len(aeads) > 0 {
		value = aeads[0].Seal(nil, nil, suspect.Body, []byte(digest)) // #nosec G407 -- the AEAD draws its nonce itself
		headers = append(headers, event.Header{Key: headerEncryption, Value: []byte(sealedForm)})
	}
	headers = append(headers, event.Header{Key: headerMAC, Value: sign(macs[0], headers, value)})
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
