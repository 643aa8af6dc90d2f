package dispatch_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"awareid-gateway/internal/dispatch"
)

var (
	quarantineKey = bytes.Repeat([]byte{7}, 32)
	suspectBody   = []byte("{\"key\":\"not what it seems\",\x00\xff}")
)

func suspect(webhookID string) dispatch.Suspect {
	return dispatch.Suspect{
		Body: suspectBody, WebhookID: webhookID, Reason: dispatch.ReasonUndecryptable, ReceivedAt: received,
	}
}

func withSealer(t testing.TB, key []byte) func(*dispatch.Options) {
	return func(o *dispatch.Options) { o.Sealer = newSealer(t, key) }
}

// macKey derives a MAC key as NewSealer's comment says, with nothing but HMAC:
// extract and one block of expand of RFC 5869.
func macKey(secret []byte, webhookID string) []byte {
	mac := func(key []byte, parts ...[]byte) []byte {
		h := hmac.New(sha256.New, key)
		h.Write(bytes.Join(parts, nil))
		return h.Sum(nil)
	}
	pseudorandom := mac(make([]byte, sha256.Size), secret)
	return mac(pseudorandom, []byte("awareid-gateway quarantine mac v1 "+webhookID), []byte{1})
}

// genuine checks a record's MAC as the Sealer's comment says.
func genuine(r *kgo.Record, key []byte) bool {
	last := len(r.Headers) - 1
	if last < 0 || r.Headers[last].Key != "gateway-mac" {
		return false
	}
	h := hmac.New(sha256.New, key)
	part := func(b []byte) {
		var length [8]byte
		binary.BigEndian.PutUint64(length[:], uint64(len(b)))
		h.Write(append(length[:], b...))
	}
	for _, header := range r.Headers[:last] {
		part([]byte(header.Key))
		part(header.Value)
	}
	part(r.Value)
	return base64.StdEncoding.EncodeToString(h.Sum(nil)) == string(r.Headers[last].Value)
}

// quarantined is the record of one suspect body.
func quarantined(t *testing.T, webhookID string, key []byte) *kgo.Record {
	t.Helper()
	cluster := newBroker(t)
	d := newDispatcher(t, stores["file"](t, newClock()), newProducer(t, cluster, 3), withSealer(t, key))
	require.NoError(t, d.Quarantine(t.Context(), suspect(webhookID)))
	d.close(t)
	records := read(t, cluster, quarantine)
	require.Len(t, records, 1)
	return records[0]
}

func TestAQuarantineRecord(t *testing.T) {
	sum := sha256.Sum256(suspectBody)
	digest := hex.EncodeToString(sum[:])
	known := []string{
		"gateway-digest=" + digest, "gateway-webhook=" + webhook,
		"gateway-reason=undecryptable", "gateway-received-at=2026-03-01T12:00:00.123456Z",
	}
	t.Run("without a key the body stays as it came", func(t *testing.T) {
		r := quarantined(t, webhook, nil)
		require.Equal(t, digest, string(r.Key))
		require.Equal(t, suspectBody, r.Value)
		require.Equal(t, known, headers(r)[:len(known)])
		require.Len(t, r.Headers, len(known)+1)
		require.True(t, genuine(r, macKey(secrets[webhook], webhook)))
		require.False(t, genuine(r, macKey(secrets[otherWebhook], otherWebhook)))
	})
	t.Run("with a key it is encrypted", func(t *testing.T) {
		r := quarantined(t, webhook, quarantineKey)
		require.Equal(t, digest, string(r.Key))
		require.Equal(t, append(known, "gateway-encryption=A256GCM"), headers(r)[:len(known)+1])
		require.True(t, genuine(r, macKey(quarantineKey, webhook)))
		require.False(t, genuine(r, macKey(secrets[webhook], webhook)))
		require.NotContains(t, string(r.Value), "seems")
		require.Equal(t, suspectBody, unseal(t, quarantineKey, r.Value, digest))
	})
}

// unseal opens a sealed value: nonce, ciphertext, tag, and the digest beside it.
func unseal(t *testing.T, key, value []byte, digest string) []byte {
	block, err := aes.NewCipher(key)
	require.NoError(t, err)
	aead, err := cipher.NewGCM(block)
	require.NoError(t, err)
	body, err := aead.Open(nil, value[:12], value[12:], []byte(digest))
	require.NoError(t, err)
	_, err = aead.Open(nil, value[:12], value[12:], []byte("another digest"))
	require.Error(t, err)
	return body
}

func TestAnyChangeBreaksTheMAC(t *testing.T) {
	for name, key := range map[string][]byte{"plain": nil, "sealed": quarantineKey} {
		t.Run(name, func(t *testing.T) {
			secret := secrets[webhook]
			if key != nil {
				secret = key
			}
			whole := quarantined(t, webhook, key)
			check := func(change func(*kgo.Record)) bool {
				r := &kgo.Record{Value: slices.Clone(whole.Value)}
				for _, h := range whole.Headers {
					r.Headers = append(r.Headers, kgo.RecordHeader{Key: h.Key, Value: slices.Clone(h.Value)})
				}
				change(r)
				return genuine(r, macKey(secret, webhook))
			}
			require.True(t, check(func(*kgo.Record) {}))
			for i := range whole.Value {
				require.False(t, check(func(r *kgo.Record) { r.Value[i] ^= 1 }), "byte %d", i)
			}
			require.False(t, check(func(r *kgo.Record) { r.Value = r.Value[:len(r.Value)-1] }))
			require.False(t, check(func(r *kgo.Record) { r.Value = append(r.Value, 0) }))
			for i, h := range whole.Headers {
				require.False(t, check(func(r *kgo.Record) { r.Headers[i].Value[0] ^= 1 }), h.Key)
				require.False(t, check(func(r *kgo.Record) { r.Headers[i].Key += "x" }), h.Key)
				require.False(t, check(func(r *kgo.Record) { r.Headers = slices.Delete(r.Headers, i, i+1) }), h.Key)
				require.False(t, check(func(r *kgo.Record) { r.Headers = slices.Insert(r.Headers, i, h) }), h.Key)
			}
			require.False(t, check(func(r *kgo.Record) { r.Headers[0], r.Headers[1] = r.Headers[1], r.Headers[0] }))
			require.False(t, check(func(r *kgo.Record) { // a byte moves to the header behind it
				value := r.Headers[0].Value
				r.Headers[1].Key = string(value[len(value)-1]) + r.Headers[1].Key
				r.Headers[0].Value = value[:len(value)-1]
			}))
		})
	}
}

func TestEachWebhookHasItsOwnMACKey(t *testing.T) {
	for name, key := range map[string][]byte{"from the secrets": nil, "from the quarantine key": quarantineKey} {
		t.Run(name, func(t *testing.T) {
			secret := func(webhookID string) []byte {
				if key != nil {
					return key
				}
				return secrets[webhookID]
			}
			r := quarantined(t, otherWebhook, key)
			require.True(t, genuine(r, macKey(secret(otherWebhook), otherWebhook)))
			require.False(t, genuine(r, macKey(secret(webhook), webhook)))
		})
	}
}

func TestOneBodyOneRecord(t *testing.T) {
	for backend, open := range stores {
		t.Run(backend, func(t *testing.T) {
			cluster := newBroker(t)
			s, k := open(t, newClock()), newProducer(t, cluster, 3)
			replicas := []dispatcher{newDispatcher(t, s, k, withSealer(t, quarantineKey)), newDispatcher(t, s, k, withSealer(t, quarantineKey))}
			const posts = 32
			errs := make([]error, posts)
			var all sync.WaitGroup
			for i := range posts {
				all.Go(func() {
					body := suspect(webhook)
					if i%4 > 1 {
						body.Reason = dispatch.ReasonMalformed
					}
					errs[i] = replicas[i%2].Quarantine(t.Context(), body)
				})
			}
			all.Wait()
			require.NoError(t, errors.Join(errs...))
			require.Equal(t, 1, stored(cluster, quarantine))

			require.NoError(t, replicas[0].Quarantine(t.Context(), suspect(otherWebhook)))
			another := suspect(webhook)
			another.Body = append([]byte(" "), suspectBody...)
			require.NoError(t, replicas[1].Quarantine(t.Context(), another))
			require.Equal(t, 3, stored(cluster, quarantine), "another webhook or another body is another record")
			for _, d := range replicas {
				d.close(t)
			}
		})
	}
}

// TestNoEventPassesForASuspectBody: an event's id is the sender's to choose.
func TestNoEventPassesForASuspectBody(t *testing.T) {
	sum := sha256.Sum256(suspectBody)
	digest := hex.EncodeToString(sum[:])
	for _, id := range []string{digest, "sha256:" + digest, "/sha256:" + digest} {
		var s fakeStore
		d := newDispatcher(t, &s, &fakeProducer{})
		_, err := d.Dispatch(t.Context(), inbound(id))
		require.NoError(t, err)
		require.NoError(t, d.Quarantine(t.Context(), suspect(webhook)))
		d.close(t)
		require.NotEqual(t, s.claims[0].Key, s.claims[1].Key, id)
	}
}

func TestASuspectOfNoKnownWebhook(t *testing.T) {
	var s fakeStore
	var p fakeProducer
	d := newDispatcher(t, &s, &p)
	released := 0
	body := suspect("unknown")
	body.Release = func() { released++ }
	requireCause(t, dispatch.ErrNotStored, d.Quarantine(t.Context(), body))
	require.Equal(t, 1, released)
	require.Empty(t, s.claims)
	require.Empty(t, p.produced())
	d.close(t)
}

func TestAQuarantineKeyOfAWrongLength(t *testing.T) {
	for _, n := range []int{0, 1, 15, 16, 24, 31, 33} {
		_, err := dispatch.NewSealer([][]byte{make([]byte, n)}, nil)
		require.Error(t, err, n)
	}
}
