package backfill_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/awareid"
	"awareid-gateway/internal/backfill"
	"awareid-gateway/internal/decrypt"
	"awareid-gateway/internal/simulator"
)

// world is a rig whose platform is a simulated one behind HTTP, with faults.
type world struct {
	*rig
	simulated *simulator.Platform
	faults    *simulator.Faults
	hook      simulator.Webhook
	events    []simulator.Event // with the numbers from 1 on
}

func newWorld(t *testing.T, events int, changes ...func(*awareid.Options)) *world {
	simulated, err := simulator.NewPlatform(simulator.PlatformOptions{
		Customer: "acme", ClientID: "client", ClientSecret: "a-client-secret", APIKey: "an-api-key",
	})
	require.NoError(t, err)
	hook, err := simulated.Register(simulator.Webhook{ID: hookID, URL: "http://127.0.0.1/", EncryptMessageBody: true})
	require.NoError(t, err)
	faults, err := simulator.NewFaults(simulated, simulator.FaultOptions{})
	require.NoError(t, err)
	web := httptest.NewServer(faults)
	t.Cleanup(web.Close)
	o := awareid.Options{
		BaseURL: web.URL, Customer: "acme", ClientID: "client", ClientSecret: "a-client-secret", APIKey: "an-api-key",
		Attempts: 1, Timeout: time.Second, MaxAnswerBytes: 256 << 10,
	}
	for _, change := range changes {
		change(&o)
	}
	client, err := awareid.New(o)
	require.NoError(t, err)
	t.Cleanup(client.Close)
	opener, err := decrypt.New(decrypt.Options{Secrets: []string{hook.Secret}})
	require.NoError(t, err)
	w := &world{simulated: simulated, faults: faults, hook: hook}
	w.rig = newRig(t, func(o *backfill.Options) {
		o.Platform, o.Webhooks = client, []backfill.Webhook{{ID: hookID, Opener: opener}}
	})
	generator, err := simulator.NewGenerator(simulator.GeneratorOptions{})
	require.NoError(t, err)
	for range events {
		e, err := generator.Next()
		require.NoError(t, err)
		require.NoError(t, simulated.Record(hookID, e))
		w.events = append(w.events, e)
	}
	return w
}

const eventData = simulator.DefaultEventDataPath

func (w *world) fill(first, last uint64) (backfill.Summary, error) {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.Context(), 20*time.Second)
	defer cancel()
	return w.Fill(ctx, backfill.Request{From: &first, To: &last}, nil)
}

// TestEnvelopesAreOpened: event data comes sealed as the webhook's callbacks are.
func TestEnvelopesAreOpened(t *testing.T) {
	w := newWorld(t, 150)
	s, err := w.fill(1, 150)
	require.NoError(t, err)
	require.True(t, s.Complete())
	require.Equal(t, map[backfill.Outcome]uint64{backfill.Accepted: 150}, s.Outcomes)
	require.Equal(t, 2, s.Requests)
	bodies := map[string]string{}
	for _, in := range w.kafka.got {
		bodies[in.Event.ID] = string(in.Event.Payload)
	}
	for _, e := range w.events {
		require.Equal(t, string(e.Body), bodies[e.ID])
	}
}

// TestHostilePlatforms: whatever a platform answers, there is a clear error and a
// metric, and nothing that was not asked for is dispatched.
func TestHostilePlatforms(t *testing.T) {
	genuine := func(w *world, i int) string { return string(w.events[i].Body) }
	list := func(bodies ...string) simulator.Fault {
		return simulator.Reply("application/json", `{"list":[`+strings.Join(bodies, ",")+`]}`)
	}
	cases := map[string]struct {
		options func(*awareid.Options)
		fault   func(*world) simulator.Fault
		err     error
		refused map[backfill.Reason]uint64
		ids     []int // of the events that are dispatched
	}{
		"wrong credentials": {options: func(o *awareid.Options) { o.ClientSecret = "another-secret" }, err: awareid.ErrUnauthorized},
		"wrong API key":     {options: func(o *awareid.Options) { o.APIKey = "another-key" }, err: awareid.ErrUnauthorized},
		"not JSON":          {fault: func(*world) simulator.Fault { return simulator.Reply("text/html", "<h1>hello</h1>") }, err: awareid.ErrMalformed},
		"not a list":        {fault: func(*world) simulator.Fault { return simulator.Reply("application/json", `{"list":7}`) }, err: awareid.ErrMalformed},
		"a redirect":        {fault: func(*world) simulator.Fault { return simulator.Redirect("http://127.0.0.1:1/") }, err: awareid.ErrMalformed},
		"it hangs":          {fault: func(*world) simulator.Fault { return simulator.Hang }, err: awareid.ErrUnavailable},
		"it hangs up":       {fault: func(*world) simulator.Fault { return simulator.Break }, err: awareid.ErrUnavailable},
		"out of order":      {fault: func(*world) simulator.Fault { return simulator.Refuse(http.StatusServiceUnavailable, "") }, err: awareid.ErrUnavailable},
		"too many requests": {fault: func(*world) simulator.Fault { return simulator.Refuse(http.StatusTooManyRequests, "60") }, err: awareid.ErrThrottled},
		"unknown webhook":   {fault: func(*world) simulator.Fault { return simulator.Refuse(http.StatusNotFound, "") }, err: awareid.ErrNotFound},
		"foreign events": {
			fault:   func(w *world) simulator.Fault { return list(genuine(w, 7), genuine(w, 2), genuine(w, 9)) },
			refused: map[backfill.Reason]uint64{backfill.Foreign: 2}, ids: []int{2},
		},
		"altered numbers": {
			fault: func(w *world) simulator.Fault {
				return list(strings.Replace(genuine(w, 2), `"transactionNum":3`, `"transactionNum":333`, 1), genuine(w, 3))
			},
			refused: map[backfill.Reason]uint64{backfill.Foreign: 1}, ids: []int{3},
		},
		"one number twice": {
			fault: func(w *world) simulator.Fault {
				return list(genuine(w, 2), strings.Replace(genuine(w, 2), w.events[2].ID, "another-id", 1))
			},
			refused: map[backfill.Reason]uint64{backfill.Repeated: 1}, ids: []int{2},
		},
		"no events": {
			fault:   func(w *world) simulator.Fault { return list(`{}`, `{"id":"x"}`, `null`, genuine(w, 1)) },
			refused: map[backfill.Reason]uint64{backfill.Malformed: 2}, ids: []int{1},
		},
		"sealed for another": {
			fault: func(w *world) simulator.Fault {
				other := simulator.Scheme{Secret: "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}
				sealed, _, err := other.Seal(w.events[1].Body)
				require.NoError(w, err)
				return list(string(sealed), genuine(w, 3))
			},
			refused: map[backfill.Reason]uint64{backfill.Undecryptable: 1}, ids: []int{3},
		},
		"from the future": {
			fault:   func(*world) simulator.Fault { return list(string(body("2", time.Now().Add(time.Hour)))) },
			refused: map[backfill.Reason]uint64{backfill.Future: 1},
		},
		"nothing": {fault: func(*world) simulator.Fault { return list() }},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var changes []func(*awareid.Options)
			if tc.options != nil {
				changes = append(changes, tc.options)
			}
			w := newWorld(t, 10, changes...)
			if tc.fault != nil {
				w.faults.On(eventData, tc.fault(w))
			}
			for range 20 { // however it is asked again
				if tc.err != nil && tc.fault != nil {
					w.faults.On(eventData, tc.fault(w))
				}
			}
			s, err := w.fill(1, 5)
			require.ErrorIs(t, err, tc.err)
			var want []string
			for _, i := range tc.ids {
				want = append(want, w.events[i].ID)
			}
			require.ElementsMatch(t, want, w.kafka.ids())
			if tc.err != nil {
				require.NotContains(t, err.Error()+w.log.String(), "secret")
				return
			}
			require.False(t, s.Complete())
			require.EqualValues(t, 5-len(tc.ids), s.Outcomes[backfill.NotReturned])
			require.Len(t, s.Unrecovered, 5-len(tc.ids))
			for reason, n := range tc.refused {
				require.Equal(t, n, s.Refused[reason], reason)
				w.wantMetric("gateway_backfill_refused_total", fmt.Sprintf("reason=%q,", reason), float64(n))
			}
			require.Len(t, s.Refused, len(tc.refused))
		})
	}
}

// TestEndlessAnswer is given up after a bounded part of it, and a bounded number
// of requests.
func TestEndlessAnswer(t *testing.T) {
	w := newWorld(t, 0)
	for range 30 {
		w.faults.On(eventData, simulator.Flood)
	}
	_, err := w.fill(1, 100)
	require.ErrorIs(t, err, awareid.ErrMalformed)
	require.Less(t, w.faults.Met(), 20)
	require.Empty(t, w.kafka.ids())
}

// TestExpiredToken is renewed without a word.
func TestExpiredToken(t *testing.T) {
	w := newWorld(t, 5)
	_, err := w.fill(1, 2)
	require.NoError(t, err)
	w.faults.On(eventData, simulator.Expire)
	s, err := w.fill(3, 5)
	require.NoError(t, err)
	require.True(t, s.Complete())
}
