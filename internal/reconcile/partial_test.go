package reconcile_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/awareid"
	"awareid-gateway/internal/reconcile"
	"awareid-gateway/internal/simulator"
)

// TestPartialReports say what is wrong, tell what is certain, and nothing else.
func TestPartialReports(t *testing.T) {
	// Everything is to be found: a missing enrollment, an unknown event, and an
	// operation that misses its end.
	findings := func(w *world, _ *reconcile.Options) {
		w.list(time.Hour, "known", "missing")
		w.enrolled(time.Minute, "known")
		w.enrolled(time.Minute, "unknown")
		w.happen(2*time.Hour, "enrollment.b2c.started", "op", "")
		w.statuses = map[string]awareid.B2CStatus{"op": "Completed"}
	}
	none, one := []string{}, []string{"missing"}
	for name, tc := range map[string]struct {
		spoil                     func(w *world, o *reconcile.Options)
		problem                   string
		missing, unknown, unended []string
		compared                  []reconcile.Subject
	}{
		"Kafka is away": {
			func(w *world, _ *reconcile.Options) { w.startErr = errAway },
			"events could not be read: away", none, none, none, []reconcile.Subject{},
		},
		"Kafka fails in the middle": {
			func(w *world, _ *reconcile.Options) { w.readErrs = []error{errAway} },
			"events could not be read: away", none, none, none, []reconcile.Subject{},
		},
		"Kafka fails at the end": {
			func(w *world, _ *reconcile.Options) { w.readErrs = []error{nil, errAway} },
			"may be on its way: away", one, []string{"unknown"}, []string{"op"}, []reconcile.Subject{reconcile.Events},
		},
		"a record cannot be read again": {
			func(w *world, _ *reconcile.Options) { w.spoilt = map[int64]error{1: errAway} },
			"did not list could not all be looked up: away", one, none, []string{"op"}, []reconcile.Subject{reconcile.Enrollments, reconcile.Operations},
		},
		"the beginning of an operation cannot be read again": {
			func(w *world, _ *reconcile.Options) { w.spoilt = map[int64]error{2: errAway} },
			"operations without an end could not all be looked up: away", one, []string{"unknown"}, none, []reconcile.Subject{reconcile.Enrollments, reconcile.Events},
		},
		"the list fails": {
			func(w *world, _ *reconcile.Options) { w.listErr = errAway },
			"page 2: away", one, none, []string{"op"}, []reconcile.Subject{reconcile.Operations},
		},
		"the look-ups fail": {
			func(w *world, _ *reconcile.Options) { w.askErr = errAway },
			"operations without an end could not all be looked up: away", one, none, []string{"op"}, []reconcile.Subject{reconcile.Enrollments},
		},
		"too many events": {
			func(w *world, o *reconcile.Options) { *o = reconcile.LimitKeys(*o, 2) },
			"choose a shorter period", none, none, none, []reconcile.Subject{},
		},
		"too many missing": {
			func(w *world, o *reconcile.Options) { *o = reconcile.LimitKeys(*o, 6); w.list(time.Hour, "b") },
			"choose a shorter period", []string{"missing", "b"}, none, []string{"op"}, []reconcile.Subject{reconcile.Operations},
		},
		"an enrollment without a date": {
			func(w *world, _ *reconcile.Options) {
				w.pages = append(w.pages, []awareid.Enrollment{enrollmentOf(`{"registrationCode":"x"}`, "x")})
			},
			"1 enrollments on the platform have no event, and no startDate", one, []string{"unknown"}, []string{"op"}, []reconcile.Subject{reconcile.Operations, reconcile.Events},
		},
		"an enrollment without the member": {
			func(w *world, _ *reconcile.Options) {
				w.pages = append(w.pages, []awareid.Enrollment{enrollmentOf(`{"registrationCode":""}`, ""), enrollmentOf(`{"registrationCode":null}`, "")})
			},
			"2 enrollments on the platform have no registrationCode", one, []string{"unknown"}, []string{"op"}, []reconcile.Subject{reconcile.Operations, reconcile.Events},
		},
		"an event without the member": {
			func(w *world, _ *reconcile.Options) { w.happen(0, "enrollment.completed", "op2", "") },
			"1 enrollment.completed events have no registrationCode", one, []string{"unknown"}, []string{"op"}, []reconcile.Subject{reconcile.Operations, reconcile.Events},
		},
	} {
		t.Run(name, func(t *testing.T) {
			r, _ := compare(t, func(w *world, o *reconcile.Options) { findings(w, o); tc.spoil(w, o) })
			require.True(t, r.Partial)
			require.Contains(t, strings.Join(r.Problems, "\n"), tc.problem)
			require.Equal(t, tc.compared, r.Compared)
			require.Equal(t, tc.missing, missing(r))
			require.Equal(t, tc.unknown, unknown(r))
			operations := []string{}
			for _, o := range r.Unended.List {
				operations = append(operations, o.OperationToken)
			}
			require.Equal(t, tc.unended, operations)
			for _, p := range r.Problems {
				for _, private := range []string{"unknown", "missing\"", "op-", "id-"} {
					require.NotContains(t, p, private)
				}
			}
		})
	}
}

// TestAHostilePlatform costs a run, and no more.
func TestAHostilePlatform(t *testing.T) {
	const list = "/onboarding/admin/registration"
	for name, tc := range map[string]struct {
		prepare func(f *simulator.Faults, o *awareid.Options)
		problem string
		pages   int
	}{
		"wrong credentials": {
			func(_ *simulator.Faults, o *awareid.Options) { o.ClientSecret = "wrong" }, "401 invalid_client", 0,
		},
		"no JSON": {
			func(f *simulator.Faults, _ *awareid.Options) { f.On(list, simulator.Reply("text/html", "<html>")) }, "malformed answer", 0,
		},
		"the same page again": {
			func(f *simulator.Faults, _ *awareid.Options) {
				f.On(list, simulator.Reply("application/json", `{"list":[{"registrationCode":"a"}]}`), simulator.Reply("application/json", `{"list":[{"registrationCode":"a"}]}`))
			}, "the list does not end", 1,
		},
		"pages without an end": {
			func(f *simulator.Faults, _ *awareid.Options) {
				f.On(list, func(w http.ResponseWriter, r *http.Request, p http.Handler) { endless(f, list, w, r) })
			}, "took too long", -1,
		},
		"no answer": {
			func(f *simulator.Faults, _ *awareid.Options) {
				f.On(list, simulator.Hang, simulator.Hang, simulator.Hang, simulator.Hang)
			}, "took too long", 0,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client := newPlatform(t, tc.prepare)
			w := &world{}
			o := options(w)
			o.Platform, o.Timeout, o.Settle = client, 2*time.Second, 0
			w.enrolled(time.Minute, "b")
			r := reconcile.New(o).Once(t.Context())
			require.True(t, r.Partial)
			require.Contains(t, strings.Join(r.Problems, "\n"), tc.problem)
			require.NotContains(t, r.Compared, reconcile.Enrollments)
			require.NotContains(t, r.Compared, reconcile.Events)
			if tc.pages >= 0 {
				require.Equal(t, tc.pages, r.Platform.Pages)
			}
		})
	}
}

// endless answers with a page of its own, and lists itself for the next.
func endless(f *simulator.Faults, path string, w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var page struct{ PageNumber int }
	if err != nil || json.Unmarshal(body, &page) != nil {
		return
	}
	f.On(path, func(w http.ResponseWriter, r *http.Request, _ http.Handler) { endless(f, path, w, r) })
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"list": []map[string]any{{"registrationCode": page.PageNumber}}})
}

func newPlatform(t *testing.T, prepare func(*simulator.Faults, *awareid.Options)) *awareid.Client {
	t.Helper()
	platform, err := simulator.NewPlatform(simulator.PlatformOptions{Customer: "acme", ClientID: "c", ClientSecret: "s", APIKey: "k"})
	require.NoError(t, err)
	faults, err := simulator.NewFaults(platform, simulator.FaultOptions{})
	require.NoError(t, err)
	server := httptest.NewServer(faults)
	t.Cleanup(server.Close)
	o := awareid.Options{BaseURL: server.URL, Customer: "acme", ClientID: "c", ClientSecret: "s", APIKey: "k"}
	prepare(faults, &o)
	client, err := awareid.New(o)
	require.NoError(t, err)
	t.Cleanup(client.Close)
	return client
}

// TestACallerWhoLeaves gets what there is.
func TestACallerWhoLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{}
		w.list(time.Hour, "a")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second) // in the middle of settling
		defer cancel()
		r := reconcile.New(options(w)).Once(ctx)
		require.True(t, r.Partial)
		require.Equal(t, []string{"a"}, missing(r))
		require.NotContains(t, r.Compared, reconcile.Enrollments)
		require.Equal(t, time.Second, r.Ended.Sub(r.Began))
	})
}
