package dispatch_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/dispatch"
	"awareid-gateway/internal/event"
	"awareid-gateway/internal/privacy"
)

func withPrivacy(t testing.TB, drop, hash string) func(*dispatch.Options) {
	t.Helper()
	rules, err := privacy.New([]string{"$.username", drop}, []string{"$.email", hash}, make([]byte, 32))
	require.NoError(t, err)
	return func(o *dispatch.Options) { o.Privacy = rules }
}

const secretOperation = "canary operation"

// private is an event whose private parts begin with "canary".
func private(t testing.TB, id string) dispatch.Inbound {
	t.Helper()
	now := time.Now()
	e, err := event.Parse(fmt.Appendf(nil,
		`{"id":%q,"type":"enrollment.completed","created":%q,"operationToken":%q,"username":"canary","us\u0065rname":"canary","email":"canary"}`,
		id, now.Format(time.RFC3339), secretOperation))
	require.NoError(t, err)
	return dispatch.Inbound{Event: e, WebhookID: webhook, Origin: dispatch.Callback, ReceivedAt: now}
}

// TestNothingPrivateIsKept: neither in the spool, nor in Redis, nor in a record,
// while events wait and when they have been delivered, in the order of an operation
// whose token nobody sees.
func TestNothingPrivateIsKept(t *testing.T) {
	for name, tc := range map[string]struct{ drop, hash, subject, done string }{
		"token hashed":  {"$.x", "$.operationToken", "the key", "drop=$.username;hash=$.email,$.operationToken"},
		"token dropped": {"$.operationToken", "$.x", "", "drop=$.username,$.operationToken;hash=$.email"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			dir := t.TempDir()
			r := w.replica(t, dir, withPrivacy(t, tc.drop, tc.hash))
			want := []string{"first"}
			require.Equal(t, dispatch.Accepted, r.post(t, private(t, "first")))
			w.refuse.Store(true)
			for i := range 4 {
				want = append(want, fmt.Sprint(i))
				require.Equal(t, dispatch.Spooled, r.post(t, private(t, fmt.Sprint(i))))
			}
			require.Contains(t, filesIn(t, dir), `"claim":"`+webhook+`/0"`)
			require.NotContains(t, filesIn(t, dir), "canary")
			require.Contains(t, w.redis.Dump(), "hmac-sha256:")
			require.NotContains(t, w.redis.Dump(), "canary")
			w.refuse.Store(false)
			r.drained(t)
			require.Equal(t, dispatch.Duplicate, r.post(t, private(t, "0")))

			require.Equal(t, want, w.ids(t, len(want)))
			hashed := ""
			for _, one := range read(t, w.cluster, "awareid.enrollment") {
				require.NotContains(t, fmt.Sprint(string(one.Key), string(one.Value), headers(one)), "canary")
				require.Equal(t, tc.done, header(one, "gateway-privacy"))
				require.True(t, privacy.IsHash(string(one.Key)))
				subject := header(one, "ce_subject")
				if tc.subject != "" {
					require.Equal(t, string(one.Key), subject)
				} else {
					require.Empty(t, subject)
				}
				require.True(t, hashed == "" || hashed == string(one.Key))
				hashed = string(one.Key)
			}
		})
	}
}

// filesIn is what lies in a folder and below.
func filesIn(t *testing.T, dir string) string {
	t.Helper()
	all := ""
	require.NoError(t, filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		all += string(content)
		return err
	}))
	return all
}

func TestNoHeaderWhereNothingMatches(t *testing.T) {
	var p fakeProducer
	d := newDispatcher(t, &fakeStore{}, &p, withPrivacy(t, "$.x", "$.y"))
	in := inbound("evt-1")
	_, err := d.Dispatch(t.Context(), in)
	require.NoError(t, err)
	d.close(t)
	r := p.produced()[0].record
	require.Equal(t, string(in.Event.Payload), string(r.Value))
	for _, h := range r.Headers {
		require.NotEqual(t, "gateway-privacy", h.Key)
	}
}

// TestEveryOriginIsRedacted, and what was done before is told as well.
func TestEveryOriginIsRedacted(t *testing.T) {
	for _, origin := range []dispatch.Origin{dispatch.Callback, dispatch.Backfill, dispatch.Replay} {
		var p fakeProducer
		d := newDispatcher(t, &fakeStore{}, &p, withPrivacy(t, "$.x", "$.y"))
		in := private(t, "evt-1")
		in.Origin, in.Redacted = origin, "drop=$.before"
		_, err := d.Dispatch(t.Context(), in)
		require.NoError(t, err)
		d.close(t)
		r := p.produced()[0].record
		require.NotContains(t, string(r.Value), `"canary"`)
		require.Contains(t, r.Headers, event.Header{Key: "gateway-privacy", Value: []byte("drop=$.before,$.username;hash=$.email")})
	}
}

func TestWhatQuarantineKeeps(t *testing.T) {
	const plain = `{"id":7,"username":"canary","email":"canary"}`
	for name, tc := range map[string]struct {
		body      string
		plaintext string // without its coding
		done      privacy.Done
	}{
		"plaintext":            {plain, plain, "drop=$.username;hash=$.email"},
		"ciphertext":           {plain, "", ""},
		"no JSON":              {`{"username":"canary"`, `{"username":"canary"`, ""},
		"nothing that matches": {`{"id":7}`, `{"id":7}`, ""},
		"coded":                {"\x1f\x8b", plain, "drop=$.username;hash=$.email"},
		"coded, no match":      {"\x1f\x8b", `{"id":7}`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var p fakeProducer
			store := &fakeStore{}
			seal := newSealer(t, quarantineKey)
			d := newDispatcher(t, store, &p, withPrivacy(t, "$.x", "$.y"), func(o *dispatch.Options) { o.Sealer = seal })
			s := suspect(webhook)
			s.Body = []byte(tc.body)
			if tc.plaintext != "" {
				s.Plaintext = []byte(tc.plaintext)
			}
			require.NoError(t, d.Quarantine(t.Context(), s))
			d.close(t)
			r := p.produced()[0].record
			opened, err := seal.Open(dispatch.Sealed{Headers: r.Headers, Value: r.Value})
			require.NoError(t, err)
			require.Equal(t, tc.done, opened.Redacted)
			if tc.done == "" {
				require.Equal(t, tc.body, string(opened.Body))
				return
			}
			require.NotContains(t, string(opened.Body), "canary")
			kept, received := sha256.Sum256(opened.Body), sha256.Sum256(s.Body)
			require.Equal(t, hex.EncodeToString(kept[:]), r.Key)
			require.NotContains(t, fmt.Sprint(store.claims), hex.EncodeToString(received[:]), "a guess at what was dropped could be checked by it")
		})
	}
}

func TestARefusedRecordIsRedactedOnce(t *testing.T) {
	p := &fakeProducer{append: refuseEvents(nil)}
	seal := newSealer(t, quarantineKey)
	d := newDispatcher(t, &fakeStore{}, p, withPrivacy(t, "$.x", "$.y"), func(o *dispatch.Options) { o.Sealer = seal })
	outcome, err := d.Dispatch(t.Context(), private(t, "new"))
	require.NoError(t, err)
	require.Equal(t, dispatch.Quarantined, outcome)
	d.close(t)
	refused, kept := p.produced()[0].record, p.produced()[1].record
	opened, err := seal.Open(dispatch.Sealed{Headers: kept.Headers, Value: kept.Value})
	require.NoError(t, err)
	require.Equal(t, string(refused.Value), string(opened.Body))
	require.EqualValues(t, "drop=$.username;hash=$.email", opened.Redacted)
}
