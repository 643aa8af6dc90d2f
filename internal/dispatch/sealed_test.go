package dispatch_test

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/dispatch"
	"awareid-gateway/internal/event"
)

// sealWith is the record of the suspect body, as it is produced.
func sealWith(t testing.TB, s *dispatch.Sealer) dispatch.Sealed {
	t.Helper()
	var p fakeProducer
	d := newDispatcher(t, &fakeStore{}, &p, func(o *dispatch.Options) { o.Sealer = s })
	require.NoError(t, d.Quarantine(t.Context(), suspect(webhook)))
	require.NoError(t, d.Close(t.Context()))
	r := p.produced()[0].record
	return dispatch.Sealed{Headers: r.Headers, Value: r.Value}
}

func sealer(t testing.TB, key []byte, secrets ...string) *dispatch.Sealer {
	t.Helper()
	all := map[string][][]byte{otherWebhook: {[]byte("another")}}
	for _, secret := range secrets {
		all[webhook] = append(all[webhook], []byte(secret))
	}
	s, err := dispatch.NewSealer(keysOf(key), all)
	require.NoError(t, err)
	return s
}

func TestOpenWithTheKeysOfToday(t *testing.T) {
	otherKey := bytes.Repeat([]byte{8}, 32)
	for name, tc := range map[string]struct {
		before, today *dispatch.Sealer
		opens         bool
	}{
		"the same secret":                  {sealer(t, nil, "a"), sealer(t, nil, "a"), true},
		"a secret that was rotated":        {sealer(t, nil, "a"), sealer(t, nil, "b", "a"), true},
		"a secret rotated twice":           {sealer(t, nil, "a"), sealer(t, nil, "c", "b", "a"), true},
		"a secret that is gone":            {sealer(t, nil, "a"), sealer(t, nil, "b"), false},
		"the same key":                     {sealer(t, quarantineKey, "a"), sealer(t, quarantineKey, "a"), true},
		"the key, with another secret":     {sealer(t, quarantineKey, "a"), sealer(t, quarantineKey, "b"), true},
		"a secret, before there was a key": {sealer(t, nil, "a"), sealer(t, quarantineKey, "a"), true},
		"rotated, before there was a key":  {sealer(t, nil, "a"), sealer(t, quarantineKey, "b", "a"), true},
		"a key that is gone":               {sealer(t, quarantineKey, "a"), sealer(t, nil, "a"), false},
		"another key":                      {sealer(t, quarantineKey, "a"), sealer(t, otherKey, "a"), false},
		"a webhook that is gone":           {sealer(t, nil, "a"), sealer(t, nil), false},
		"a webhook that is gone, and key":  {sealer(t, quarantineKey, "a"), sealer(t, quarantineKey), false},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := tc.today.Open(sealWith(t, tc.before))
			if !tc.opens {
				require.ErrorIs(t, err, dispatch.ErrForged)
				require.Zero(t, got)
				return
			}
			require.NoError(t, err)
			want := suspect(webhook)
			require.True(t, want.ReceivedAt.Equal(got.ReceivedAt))
			want.ReceivedAt = got.ReceivedAt
			require.Equal(t, want, got)
		})
	}
}

// TestSealUsesTheFirst: the current secret, or the key where there is one.
func TestSealUsesTheFirst(t *testing.T) {
	r := sealWith(t, sealer(t, nil, "new", "old"))
	_, err := sealer(t, nil, "new").Open(r)
	require.NoError(t, err)
	_, err = sealer(t, nil, "old").Open(r)
	require.ErrorIs(t, err, dispatch.ErrForged)
}

func TestWhatARecordSaysOfItself(t *testing.T) {
	r := sealWith(t, sealer(t, nil, "a"))
	require.Equal(t, webhook, r.Webhook())
	require.Equal(t, dispatch.ReasonUndecryptable, r.Reason())
	require.Len(t, r.Digest(), 64)
	require.Zero(t, dispatch.Sealed{}.Webhook()+dispatch.Sealed{}.Digest()+string(dispatch.Sealed{}.Reason()))
}

func cloneSealed(r dispatch.Sealed) dispatch.Sealed {
	r.Value = bytes.Clone(r.Value)
	r.Headers = slices.Clone(r.Headers)
	for i := range r.Headers {
		r.Headers[i].Value = bytes.Clone(r.Headers[i].Value)
	}
	return r
}

func TestOpenRefusesEveryChange(t *testing.T) {
	for name, key := range map[string][]byte{"plain": nil, "sealed": quarantineKey} {
		t.Run(name, func(t *testing.T) {
			s := sealer(t, key, "a", "b")
			whole := sealWith(t, s)
			forged := func(change func(*dispatch.Sealed)) {
				t.Helper()
				r := cloneSealed(whole)
				change(&r)
				_, err := s.Open(r)
				require.ErrorIs(t, err, dispatch.ErrForged)
			}
			for i := range whole.Value {
				forged(func(r *dispatch.Sealed) { r.Value[i] ^= 1 })
			}
			forged(func(r *dispatch.Sealed) { r.Value = nil })
			forged(func(r *dispatch.Sealed) { r.Headers = nil })
			for i, h := range whole.Headers {
				for j := range h.Value {
					forged(func(r *dispatch.Sealed) { r.Headers[i].Value[j] ^= 1 })
				}
				forged(func(r *dispatch.Sealed) { r.Headers[i].Key += "x" })
				forged(func(r *dispatch.Sealed) { r.Headers = slices.Delete(r.Headers, i, i+1) })
				forged(func(r *dispatch.Sealed) { r.Headers = slices.Insert(r.Headers, i, h) })
				forged(func(r *dispatch.Sealed) { r.Headers = append(r.Headers, h) })
			}
		})
	}
}

// FuzzOpen: whatever differs from the genuine record is forged. It is one
// without encryption, whose nonce would differ in each process of the fuzzer.
func FuzzOpen(f *testing.F) {
	s := sealer(f, nil, "a")
	genuine := sealWith(f, s)
	mac := genuine.Headers[len(genuine.Headers)-1].Value
	f.Add(genuine.Value, genuine.Digest(), webhook, "undecryptable", "", mac)
	f.Add([]byte("{}"), genuine.Digest(), webhook, "stale", "A256GCM", mac)
	f.Add([]byte(nil), "", otherWebhook, "", "A256GCM", []byte("AAAA"))
	f.Fuzz(func(t *testing.T, value []byte, digest, hook, reason, encryption string, mac []byte) {
		r := dispatch.Sealed{Value: value, Headers: []event.Header{
			{Key: "gateway-digest", Value: []byte(digest)},
			{Key: "gateway-webhook", Value: []byte(hook)},
			{Key: "gateway-reason", Value: []byte(reason)},
			{Key: "gateway-received-at", Value: received.UTC().AppendFormat(nil, time.RFC3339Nano)},
		}}
		if encryption != "" {
			r.Headers = append(r.Headers, event.Header{Key: "gateway-encryption", Value: []byte(encryption)})
		}
		r.Headers = append(r.Headers, event.Header{Key: "gateway-mac", Value: mac})
		got, err := s.Open(r)
		same := bytes.Equal(value, genuine.Value) && slices.EqualFunc(r.Headers, genuine.Headers, func(a, b event.Header) bool {
			return a.Key == b.Key && bytes.Equal(a.Value, b.Value)
		})
		require.Equal(t, same, err == nil)
		if same {
			require.Equal(t, suspectBody, got.Body)
		} else {
			require.ErrorIs(t, err, dispatch.ErrForged)
		}
	})
}

func TestSecretsOfASealerAtWorkAreReplaced(t *testing.T) {
	s := sealer(t, nil, "a")
	before := sealWith(t, s)
	require.NoError(t, s.SetSecrets(webhook, [][]byte{[]byte("b"), []byte("a")}))
	_, err := s.Open(before)
	require.NoError(t, err)
	after := sealWith(t, s)
	_, err = sealer(t, nil, "b").Open(after)
	require.NoError(t, err, "the first secret seals")
	_, err = sealer(t, nil, "a").Open(after)
	require.ErrorIs(t, err, dispatch.ErrForged)

	require.NoError(t, s.SetSecrets(webhook, [][]byte{[]byte("b")}))
	_, err = s.Open(before)
	require.ErrorIs(t, err, dispatch.ErrForged)
}

// TestRotationOfTheQuarantineKey: the new key seals at once, and both open while
// both are listed.
func TestRotationOfTheQuarantineKey(t *testing.T) {
	next := bytes.Repeat([]byte{8}, 32)
	given := [][]byte{bytes.Clone(next), bytes.Clone(quarantineKey)}
	s := sealer(t, quarantineKey, "a")
	before := sealWith(t, s)
	require.NoError(t, s.SetKeys(given))
	given[0][0], given[1][0] = 0, 0 // they are the caller's
	after := sealWith(t, s)
	require.NoError(t, s.SetSecrets(webhook, [][]byte{[]byte("b")}))
	for name, r := range map[string]dispatch.Sealed{"before": before, "after": after} {
		_, err := s.Open(r)
		require.NoError(t, err, name)
	}
	_, err := sealer(t, next).Open(after)
	require.ErrorIs(t, err, dispatch.ErrForged, "of a webhook that is not there")
	_, err = sealer(t, next, "b").Open(after)
	require.NoError(t, err)
	_, err = sealer(t, quarantineKey, "b").Open(after)
	require.ErrorIs(t, err, dispatch.ErrForged)

	require.Error(t, s.SetKeys([][]byte{next, next[:31]}))
	_, err = s.Open(before)
	require.NoError(t, err, "those of before stay")
	require.NoError(t, s.SetKeys([][]byte{next}))
	_, err = s.Open(before)
	require.ErrorIs(t, err, dispatch.ErrForged)
	_, err = s.Open(after)
	require.NoError(t, err)
}
