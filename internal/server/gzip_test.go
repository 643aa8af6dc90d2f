package server_test

import (
	"bytes"
	"compress/gzip"
	"net/http"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/decrypt"
	"awareid-gateway/internal/server"
	"awareid-gateway/internal/simulator"
)

func acceptGzip(s *setUp) { s.Limits.AcceptGzip = true }

func zipped(t *testing.T, plain []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := w.Write(plain)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return b.Bytes()
}

// coded is a request whose signature is over exactly this body.
func (g *gateway) coded(t *testing.T, coding string, body []byte) string {
	t.Helper()
	s := g.scheme
	s.Cipher = "none"
	header, body := sealed(t, s, body)
	header.Set("Content-Encoding", coding)
	return post(server.Path, header, body)
}

func TestGzip(t *testing.T) {
	b := newBackend(t)
	g := b.serve(t, acceptGzip)
	for _, cipher := range []string{"none", "gcm", "cbc", "bare-gcm"} {
		t.Run(cipher, func(t *testing.T) {
			id, event := newEvent()
			s := g.scheme
			s.Cipher = cipher
			_, body := sealed(t, s, event)
			raw := g.coded(t, "gzip", zipped(t, body))
			requireStatus(t, g.exchange(t, raw), 200, "accepted", id)
			requireStatus(t, g.exchange(t, raw), 200, "duplicate", id)
			found := having(b.records(t), "awareid.enrollment", "ce_id", id)
			require.Len(t, found, 1)
			require.Equal(t, string(event), string(found[0].Value))
		})
	}
	id, event := newEvent()
	members := append(zipped(t, event[:10]), zipped(t, event[10:])...)
	requireStatus(t, g.exchange(t, g.coded(t, "GZIP", members)), 200, "accepted", id)
	id, event = newEvent()
	requireStatus(t, g.exchange(t, g.coded(t, "identity", event)), 200, "accepted", id)
	g.eventually(t, "gateway_body_bytes", 0)
	g.requireSilence(t)
}

// TestNothingIsUnpackedThatIsNotAuthentic: the signature is over what came.
func TestNothingIsUnpackedThatIsNotAuthentic(t *testing.T) {
	b := newBackend(t)
	g := b.serve(t, acceptGzip, func(s *setUp) { s.Limits.MaxBodyBytes = 10_000 })
	bomb := zipped(t, make([]byte, 1<<20))
	header := http.Header{simulator.DefaultSignatureHeader: {"00"}, "Content-Encoding": {"gzip"}, authKey: {authValue}}
	requireProblem(t, g.exchange(t, post(server.Path, header, bomb)), 401)
	_, event := newEvent()
	header, _ = sealed(t, g.scheme, event) // over the plaintext
	header.Set("Content-Encoding", "gzip")
	requireProblem(t, g.exchange(t, post(server.Path, header, zipped(t, event))), 401)
	require.Zero(t, b.stored(t))
}

func TestGzipSize(t *testing.T) {
	const limit = 20_000
	g := newBackend(t).serve(t, acceptGzip, func(s *setUp) { s.Limits.MaxBodyBytes = limit })
	for size, want := range map[int]int{limit: 200, limit + 1: 413, 100 * limit: 413} {
		_, event := newEvent()
		a := g.exchange(t, g.coded(t, "gzip", zipped(t, padded(event, size))))
		require.Equal(t, want, a.status)
	}
	_, event := newEvent()
	half := zipped(t, padded(event, limit-1))
	requireProblem(t, g.exchange(t, g.coded(t, "gzip", append(half, zipped(t, []byte("  "))...))), 413)
	g.eventually(t, "gateway_body_bytes", 0)
}

// TestUnpackedBodiesTakeOfTheBudget, too.
func TestUnpackedBodiesTakeOfTheBudget(t *testing.T) {
	g := newBackend(t).serve(t, acceptGzip, func(s *setUp) { s.Limits.BodyBudgetBytes = 30_000 })
	_, event := newEvent()
	requireProblem(t, g.exchange(t, g.coded(t, "gzip", zipped(t, padded(event, 60_000)))), 503)
	g.eventually(t, "gateway_body_bytes", 0)
	require.Equal(t, 200, g.exchange(t, g.coded(t, "gzip", zipped(t, event))).status)
}

// TestGzipThatIsNone is authentic, so it is kept, as it came.
func TestGzipThatIsNone(t *testing.T) {
	b := newBackend(t)
	g := b.serve(t, acceptGzip)
	id := uuid.NewString()
	whole := zipped(t, eventAt(id, now))
	for name, body := range map[string][]byte{
		"empty": nil, "an event": eventAt(id, now), "cut": whole[:len(whole)-3], "its head": whole[:5],
		"something behind": append(bytes.Clone(whole), "x"...), "a wrong sum": append(whole[:len(whole)-8:len(whole)-8], make([]byte, 8)...),
	} {
		t.Run(name, func(t *testing.T) {
			requireStatus(t, g.exchange(t, g.coded(t, "gzip", body)), 202, "quarantined", "")
			var kept int
			for _, r := range having(b.records(t), "awareid.quarantine", "gateway-reason", "undecryptable") {
				if bytes.Equal(r.Value, body) {
					kept++
				}
			}
			require.Equal(t, 1, kept)
		})
	}
	stale := zipped(t, eventAt(id, now.Add(-200*time.Hour)))
	requireStatus(t, g.exchange(t, g.coded(t, "gzip", stale)), 202, "quarantined", "")
	found := having(b.records(t), "awareid.quarantine", "gateway-reason", "stale")
	require.Len(t, found, 1)
	require.Equal(t, stale, found[0].Value)
	g.eventually(t, "gateway_body_bytes", 0)
}

func TestInflate(t *testing.T) {
	const limit = 5000
	plain := bytes.Repeat([]byte("a"), limit)
	for _, body := range [][]byte{nil, []byte(`{"id":1}`), []byte("H4sI"), plain} {
		got, err := server.Inflate(body, limit)
		require.NoError(t, err)
		require.Equal(t, body, got)
	}
	got, err := server.Inflate(zipped(t, plain), limit)
	require.NoError(t, err)
	require.Equal(t, plain, got)
	for _, body := range [][]byte{zipped(t, append(plain, 'a')), zipped(t, plain)[:20], {0x1f, 0x8b}} {
		_, err := server.Inflate(body, limit)
		require.ErrorIs(t, err, decrypt.ErrDecrypt)
	}
}
