package server_test

import (
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/server"
	"awareid-gateway/internal/simulator"
	"awareid-gateway/internal/verify"
)

// rotated are the secrets behind a rotation from secret to nextSecret.
var rotated = []verify.Secret{{Value: nextSecret}, {Value: secret, NotAfter: now.Add(time.Hour)}}

// underNext is an event signed with a secret that the gateway does not take yet,
// and its id.
func (g *gateway) underNext(t *testing.T) (id, raw string) {
	t.Helper()
	s := g.scheme
	s.Secret = nextSecret
	id, event := newEvent()
	header, body := sealed(t, s, event)
	return id, post(server.Path, header, body)
}

func onlyTheOldSecret(s *setUp) { s.hook.Secrets = s.hook.Secrets[:1] }

// hasty makes a request that is held be refused after 3/4 of this time.
func hasty(s *setUp) { s.Limits.RequestTimeout = 400 * time.Millisecond }

func heldSeries(outcome string) string {
	return fmt.Sprintf(`gateway_held_total{outcome=%q,webhook=%q}`, outcome, webhookID)
}

func TestHeldUntilTheNewSecretIsThere(t *testing.T) {
	g := newBackend(t).serve(t, onlyTheOldSecret)
	requireProblem(t, g.exchange(t, second(g.underNext(t))), 401)

	g.SetRotating(webhookID, true)
	require.Equal(t, 200, g.exchange(t, g.valid(t)).status, "the old secret goes on")
	const posts = 8
	ids, conns := make([]string, posts), make([]*conn, posts)
	for i := range posts {
		var raw string
		ids[i], raw = g.underNext(t)
		conns[i] = g.dial(t).send(raw)
	}
	g.eventually(t, "gateway_held", posts)
	require.NotZero(t, g.metric("gateway_body_bytes"), "a body that is held stays in the budget")

	require.NoError(t, g.SetSecrets(webhookID, rotated))
	g.SetRotating(webhookID, false)
	for i, c := range conns {
		requireStatus(t, c.answer(t), 200, "accepted", ids[i])
		c.Close()
	}
	g.eventually(t, "gateway_held", 0)
	g.eventually(t, "gateway_body_bytes", 0)
	require.EqualValues(t, posts, g.metric(heldSeries("accepted")))
	series := func(place int, value string) string {
		return fmt.Sprintf(`gateway_secret_used_total{key=%q,secret="%d",webhook=%q}`, verify.Secret{Value: value}.ID(), place, webhookID)
	}
	require.EqualValues(t, posts, g.metric(series(0, nextSecret)))
	require.EqualValues(t, 1, g.metric(series(0, secret)))
	require.Equal(t, 200, g.exchange(t, g.valid(t)).status)
	require.EqualValues(t, 1, g.metric(series(1, secret)))
	require.Equal(t, 1, strings.Count(g.log.String(), "key="+verify.Secret{Value: nextSecret}.ID()), "the first callback is told, once")
}

// second drops an id that is of no interest.
func second(_, raw string) string { return raw }

// requireInVain wants the sender to try again: it may be genuine.
func requireInVain(t *testing.T, a answer) {
	t.Helper()
	require.Empty(t, requireProblem(t, a, 503), "the sender is not authenticated")
	require.Equal(t, "5", a.header.Get("Retry-After"))
}

func TestHeldForAShortTimeOnly(t *testing.T) {
	g := newBackend(t).serve(t, onlyTheOldSecret, hasty)
	g.SetRotating(webhookID, true)
	began := time.Now()
	requireInVain(t, g.exchange(t, second(g.underNext(t))))
	require.GreaterOrEqual(t, time.Since(began), 300*time.Millisecond)
	require.EqualValues(t, 1, g.metric(heldSeries("refused")))

	require.NoError(t, g.SetSecrets(webhookID, rotated))
	_, event := newEvent()
	forged := g.scheme
	forged.Secret = "b3RoZXItc2VjcmV0LW9mLTMyLWJ5dGVzLTAwMDAwMDA="
	header, body := sealed(t, forged, event)
	requireInVain(t, g.exchange(t, post(server.Path, header, body)))
	require.EqualValues(t, 2, g.metric(heldSeries("refused")))

	g.SetRotating(webhookID, false)
	requireProblem(t, g.exchange(t, post(server.Path, header, body)), 401)
}

func TestARotationThatEndsWithoutASecretRefusesAtOnce(t *testing.T) {
	g := newBackend(t).serve(t, onlyTheOldSecret)
	g.SetRotating(webhookID, true)
	c := g.dial(t).send(second(g.underNext(t)))
	g.eventually(t, "gateway_held", 1)
	began := time.Now()
	g.SetRotating(webhookID, false)
	requireProblem(t, c.answer(t), 401)
	require.Less(t, time.Since(began), 2*time.Second)
}

// TestPlacesAreFreeOnceTheRotationHasEnded: who is forged goes when the new secret
// is there and the mark is gone, however close the two come.
func TestPlacesAreFreeOnceTheRotationHasEnded(t *testing.T) {
	g := newBackend(t).serve(t, onlyTheOldSecret, func(s *setUp) { s.Limits.RequestTimeout = 40 * time.Second })
	forged := g.scheme
	forged.Secret = "b3RoZXItc2VjcmV0LW9mLTMyLWJ5dGVzLTAwMDAwMDA="
	for range 8 {
		g.SetRotating(webhookID, true)
		var conns []*conn
		for range 8 {
			_, event := newEvent()
			header, body := sealed(t, forged, event)
			conns = append(conns, g.dial(t).send(post(server.Path, header, body)))
		}
		g.eventually(t, "gateway_held", 8)
		began := time.Now()
		require.NoError(t, g.SetSecrets(webhookID, rotated))
		g.SetRotating(webhookID, false)
		for _, c := range conns {
			requireProblem(t, c.answer(t), 401)
			c.Close()
		}
		require.Less(t, time.Since(began), 2*time.Second)
	}
}

// TestOnlyABadSignatureIsHeld: who has neither the auth header nor anything that
// could be a signature has nothing to wait for.
func TestOnlyABadSignatureIsHeld(t *testing.T) {
	g := newBackend(t).serve(t, onlyTheOldSecret)
	g.SetRotating(webhookID, true)
	for name, change := range map[string]func(*simulator.Scheme){
		"no auth header": func(s *simulator.Scheme) { s.AuthHeaderKey = "" },
		"no signature":   func(s *simulator.Scheme) { s.Unsigned = true },
	} {
		s := g.scheme
		s.Secret = nextSecret
		change(&s)
		_, event := newEvent()
		header, body := sealed(t, s, event)
		requireProblem(t, g.exchange(t, post(server.Path, header, body)), 401)
		require.Zero(t, g.metric(heldSeries("refused")), name)
	}
}

// TestForgedRequestsCannotTakeAllPlaces: neither more than there are, nor, from
// one address, those of the others.
func TestForgedRequestsCannotTakeAllPlaces(t *testing.T) {
	g := newBackend(t).serve(t, onlyTheOldSecret, func(s *setUp) {
		s.Limits.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
		s.Limits.BodyBudgetBytes = 64 << 20
		s.Limits.RequestTimeout = 40 * time.Second // held for the full 3 s
	})
	const most, perAddress = 64, 32
	g.HoldAtMost(most, perAddress)
	g.SetRotating(webhookID, true)
	forge := func(from string) *conn {
		header := http.Header{authKey: {authValue}, simulator.DefaultSignatureHeader: {strings.Repeat("ab", 32)}, "X-Forwarded-For": {from}}
		return g.dial(t).send(post(server.Path, header, []byte("{}")))
	}
	var held []*conn
	fill := func(from string, n int) {
		for range n {
			held = append(held, forge(from))
		}
	}
	fill("203.0.113.1", perAddress)
	g.eventually(t, "gateway_held", perAddress)
	requireInVain(t, forge("203.0.113.1").answer(t))
	require.EqualValues(t, 1, g.metric(heldSeries("full")), "no more of one address")

	fill("198.51.100.7", most-perAddress-1)
	g.eventually(t, "gateway_held", most-1)
	genuine, raw := g.underNext(t)
	c := g.dial(t).send(raw)
	g.eventually(t, "gateway_held", most)
	requireInVain(t, forge("192.0.2.9").answer(t))
	require.EqualValues(t, 2, g.metric(heldSeries("full")), "no more at all")

	require.NoError(t, g.SetSecrets(webhookID, rotated))
	g.SetRotating(webhookID, false)
	requireStatus(t, c.answer(t), 200, "accepted", genuine)
	for _, c := range held {
		requireProblem(t, c.answer(t), 401)
		c.Close()
	}
	g.eventually(t, "gateway_held", 0)
}

// TestHeldBodiesLeaveRoomForTheOthers: what is held, for whichever webhook, is at most
// a quarter of the budget of all bodies.
func TestHeldBodiesLeaveRoomForTheOthers(t *testing.T) {
	const body = 4 << 10
	g := newBackend(t).serve(t, onlyTheOldSecret, func(s *setUp) {
		s.Limits.BodyBudgetBytes = 8 * 4 * body
		s.Limits.RequestTimeout = 40 * time.Second // held for the full 3 s
		one, two := s.hook, s.hook
		one.Name, two.Name, two.ID = "one", "two", strings.Repeat("2", 32)
		s.Webhooks = []server.Webhook{one, two}
	})
	for _, id := range []string{webhookID, strings.Repeat("2", 32)} {
		g.SetRotating(id, true)
	}
	forge := func(name string, size int) *conn {
		header := http.Header{authKey: {authValue}, simulator.DefaultSignatureHeader: {strings.Repeat("ab", 32)}}
		return g.dial(t).send(post(server.Path+"/"+name, header, make([]byte, size)))
	}
	for i := range 8 {
		forge([]string{"one", "two"}[i%2], body)
	}
	g.eventually(t, "gateway_held", 8)
	requireInVain(t, forge("one", 1).answer(t))
	require.EqualValues(t, 1, g.metric(heldSeries("full")))
	_, event := newEvent()
	header, raw := sealed(t, g.scheme, event)
	require.Equal(t, 200, g.exchange(t, post(server.Path+"/two", header, raw)).status, "who is authentic goes on")

	g.SetRotating(webhookID, false)
	g.eventually(t, "gateway_held", 4)
	forge("two", body)
	g.eventually(t, "gateway_held", 5)
}

func TestHeldWhereThePlaintextIsSignedOrNothing(t *testing.T) {
	for name, covers := range map[string]server.Covers{"plaintext": server.CoversPlaintext, "nothing": server.CoversNothing} {
		t.Run(name, func(t *testing.T) {
			g := newBackend(t).serve(t, onlyTheOldSecret, func(s *setUp) {
				s.hook.Covers, s.hook.Opener = covers, s.hook.Opener.With([]string{secret})
			})
			g.scheme.Covers = "plaintext"
			g.SetRotating(webhookID, true)
			id, raw := g.underNext(t)
			c := g.dial(t).send(raw)
			g.eventually(t, "gateway_held", 1)
			require.NoError(t, g.SetSecrets(webhookID, rotated))
			requireStatus(t, c.answer(t), 200, "accepted", id)
		})
	}
}

func TestSecretsThatCannotBeUsedChangeNothing(t *testing.T) {
	g := newBackend(t).serve(t)
	err := g.SetSecrets(webhookID, []verify.Secret{{Value: "canary-bad"}})
	require.ErrorContains(t, err, "index 0")
	require.NotContains(t, err.Error(), "canary-bad")
	require.ErrorContains(t, g.SetSecrets("another", rotated), "another")
	g.SetRotating("another", true)
	require.Equal(t, 200, g.exchange(t, g.valid(t)).status)
}
