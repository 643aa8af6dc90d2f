package reconcile_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/awareid"
	"awareid-gateway/internal/event"
	"awareid-gateway/internal/privacy"
	"awareid-gateway/internal/reconcile"
)

func hashRules(t *testing.T) *privacy.Rules {
	t.Helper()
	rules, err := privacy.New(nil, []string{"$.person"}, make([]byte, 32))
	require.NoError(t, err)
	return rules
}

// hashOf is what events show for a JSON value.
func hashOf(t *testing.T, value string) string {
	t.Helper()
	hashed, err := hashRules(t).Hash([]byte(value))
	require.NoError(t, err)
	return hashed
}

// TestEnrollments are compared with events in both directions.
func TestEnrollments(t *testing.T) {
	for name, tc := range map[string]struct {
		prepare          func(w *world, o *reconcile.Options)
		missing, unknown []string
	}{
		"nothing at all": {func(w *world, o *reconcile.Options) {}, nil, nil},
		"all are there, over pages, and twice": {func(w *world, o *reconcile.Options) {
			w.list(time.Hour, "a", "b")
			w.list(time.Hour, "b", "c")
			w.enrolled(time.Minute, "a")
			w.enrolled(time.Minute, "b")
			w.enrolled(time.Minute, "b")
			w.enrolled(time.Minute, "c")
		}, nil, nil},
		"one is missing, told once": {func(w *world, o *reconcile.Options) {
			w.list(time.Hour, "a", "b")
			w.list(time.Hour, "b")
			w.enrolled(time.Minute, "a")
		}, []string{"b"}, nil},
		"one is unknown": {func(w *world, o *reconcile.Options) {
			w.list(time.Hour, "a")
			w.enrolled(time.Minute, "a")
			w.enrolled(time.Minute, "b")
		}, nil, []string{"b"}},
		"one that the list left out is known": {func(w *world, o *reconcile.Options) {
			w.enrolled(time.Minute, "a")
			w.enrolled(time.Minute, "b")
			w.codes = map[string]bool{"a": true}
		}, nil, []string{"b"}},
		"one of before the period may have been completed before": {func(w *world, o *reconcile.Options) {
			w.list(25*time.Hour, "a")
			w.list(23*time.Hour, "b")
		}, []string{"b"}, nil},
		"one of before the period with an event in it": {func(w *world, o *reconcile.Options) {
			w.list(25*time.Hour, "a")
			w.enrolled(time.Hour, "a")
		}, nil, nil},
		"without a period all counts": {func(w *world, o *reconcile.Options) {
			o.Window = 0
			w.list(9999*time.Hour, "a")
			w.pages = append(w.pages, []awareid.Enrollment{enrollmentOf(`{"registrationCode":"b"}`, "b")})
		}, []string{"a", "b"}, nil},
		"an event that comes while the platform is asked": {func(w *world, o *reconcile.Options) {
			w.list(time.Minute, "a", "b", "c")
			w.enrolled(time.Minute, "b")
			w.happenLater("enrollment.completed", "op", `"registrationCode":"a"`)
			w.happenLater("enrollment.completed", "op", `"registrationCode":"d"`) // of after the list
		}, []string{"c"}, nil},
		"joined by a hash, and with events of before there was one": {func(w *world, o *reconcile.Options) {
			o.JoinField, o.Hash = "person", hashRules(t).Hash
			w.pages = [][]awareid.Enrollment{{
				enrollmentOf(`{"person":17,"startDate":1893456000}`, "x"), enrollmentOf(`{"person":"\u00fc","startDate":1893456000}`, "y"),
				enrollmentOf(`{"person":"z","startDate":1893456000}`, "z"),
			}}
			w.happen(time.Minute, "enrollment.completed", "op", fmt.Sprintf(`"person":%q`, hashOf(t, `17.0`)))
			w.happen(time.Minute, "enrollment.completed", "op", `"person":"ü"`)
			w.happenLater("enrollment.completed", "op", fmt.Sprintf(`"person":%q`, hashOf(t, `"z"`)))
		}, nil, nil},
		"a hash is not asked about": {func(w *world, o *reconcile.Options) {
			o.Hash = hashRules(t).Hash
			w.enrolled(time.Minute, hashOf(t, `"a"`))
			w.codes = map[string]bool{hashOf(t, `"a"`): true} // whatever the platform says
		}, nil, []string{hashOf(t, `"a"`)}},
		"joined by another member, of the event itself, a number": {func(w *world, o *reconcile.Options) {
			o.JoinField = "person"
			w.pages = [][]awareid.Enrollment{{
				enrollmentOf(`{"person":17,"startDate":1893456000}`, "x"), enrollmentOf(`{"person":"ü","startDate":1893456000}`, "y"),
			}}
			w.enrolled(time.Minute, "x")
			w.records[0].Value = []byte(`{"person":17,"data":{"person":null}}`)
		}, []string{"ü"}, nil},
		"an unknown one that is deleted meanwhile": {func(w *world, o *reconcile.Options) {
			w.enrolled(time.Minute, "a")
			w.spoilt = map[int64]error{0: reconcile.ErrGone}
		}, nil, nil},
		"an unknown one is not asked for by another member": {func(w *world, o *reconcile.Options) {
			o.JoinField = "person"
			w.codes = map[string]bool{"p": true}
			w.happen(0, "enrollment.completed", "op", `"person":"p"`)
		}, nil, []string{"p"}},
		"only one webhook's events count": {func(w *world, o *reconcile.Options) {
			o.Webhook = webhook
			w.list(time.Hour, "a", "b")
			w.enrolled(time.Minute, "a")
			w.enrolled(time.Minute, "b")
			w.enrolled(time.Minute, "c")
			for _, i := range []int{1, 2} {
				w.records[i].Headers = event.Event{Type: "enrollment.completed"}.Headers("another")
			}
		}, []string{"b"}, nil},
		"other families and steps are no enrollments": {func(w *world, o *reconcile.Options) {
			w.list(time.Hour, "a")
			for _, kind := range []string{"reenrollment.completed", "enrollment.b2c.completed", "enrollment.started", "enrollment.face.check"} {
				w.happen(time.Minute, kind, "op", `"registrationCode":"a"`)
			}
		}, []string{"a"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			r, _ := compare(t, tc.prepare)
			require.Empty(t, r.Problems)
			require.Equal(t, all, r.Compared)
			require.Equal(t, append([]string{}, tc.missing...), missing(r))
			require.Equal(t, len(tc.missing), r.Missing.Count)
			require.Equal(t, append([]string{}, tc.unknown...), unknown(r))
			require.Equal(t, len(tc.unknown), r.Unknown.Count)
			require.Equal(t, len(tc.missing) > 0, r.Misses())
		})
	}
}

// TestOperations that began and did not end are told, B2C ones with the platform's
// word.
func TestOperations(t *testing.T) {
	const old, young = 2 * time.Hour, time.Minute
	for name, tc := range map[string]struct {
		prepare func(w *world)
		want    map[string]string
		asked   []string
		ended   int
	}{
		"ended, in every way and in every family": {func(w *world) {
			for _, family := range []string{"enrollment", "authentication", "reenrollment", "new"} {
				for _, end := range []string{"completed", "cancelled", "b2c.completed"} {
					w.happen(old, family+".started", family+end, "")
					w.happen(old, family+".b2c.started", family+end, "")
					w.happen(old, family+".face.check", family+end, "")
					w.happen(young, family+"."+end, family+end, `"registrationCode":"a"`)
				}
			}
			w.list(time.Hour, "a")
		}, map[string]string{}, nil, 0},
		"the end stands before the begin, which was fetched later": {func(w *world) {
			w.happen(old, "enrollment.completed", "a", `"registrationCode":"a"`)
			w.happen(old, "enrollment.started", "a", "")
			w.happen(old, "enrollment.b2c.started", "a", "")
			w.codes = map[string]bool{"a": true}
		}, map[string]string{}, []string{"a"}, 0},
		"not ended": {func(w *world) {
			w.happen(old, "enrollment.started", "a", "")
			w.happen(old, "authentication.started", "b", "")
			w.happen(old, "authentication.face.check", "b", "")
		}, map[string]string{"a": "", "b": ""}, nil, 0},
		"began a moment ago": {func(w *world) {
			w.happen(young, "enrollment.started", "a", "")
			w.happen(young, "enrollment.b2c.started", "b", "")
		}, map[string]string{}, nil, 0},
		"only an end, or neither": {func(w *world) {
			w.happen(old, "authentication.completed", "a", "")
			w.happen(old, "authentication.face.check", "b", "")
			w.happen(old, "started", "c", "")
			w.happen(old, "enrollment.started", "", "")
		}, map[string]string{}, nil, 0},
		"of B2C, by session token, or else by operation": {func(w *world) {
			w.happen(old, "enrollment.started", "a", `"sessionToken":"no"`)
			w.happen(old, "enrollment.b2c.started", "a", `"sessionToken":"s"`)
			w.happen(old, "enrollment.b2c.started", "b", ``)
			w.happen(old, "authentication.b2c.started", "c", `"sessionToken":"gone"`)
			w.happen(old, "authentication.b2c.started", "d", `"sessionToken":"x/../y z"`)
			w.happen(old, "authentication.started", "e", ``)
			w.statuses = map[string]awareid.B2CStatus{"s": "Pending", "b": "Completed"}
		}, map[string]string{"a": "Pending", "b": "Completed", "c": "unknown", "d": "unknown", "e": ""}, []string{"s", "b", "gone"}, 1},
		"the platform refuses one, and another is deleted": {func(w *world) {
			w.happen(old, "enrollment.b2c.started", "a", `"sessionToken":"refused"`)
			w.happen(old, "enrollment.b2c.started", "b", ``)
			w.happen(old, "enrollment.b2c.started", "c", ``)
			w.spoilt = map[int64]error{1: fmt.Errorf("read: %w", reconcile.ErrGone)}
			w.statuses = map[string]awareid.B2CStatus{"c": "Pending"}
		}, map[string]string{"a": "unknown", "c": "Pending"}, []string{"refused", "c"}, 0},
		"its end comes while the platform is asked": {func(w *world) {
			w.happen(old, "enrollment.b2c.started", "a", ``)
			w.happen(old, "enrollment.b2c.started", "b", ``)
			w.happenLater("enrollment.b2c.completed", "a", "")
			w.statuses = map[string]awareid.B2CStatus{"a": "Completed", "b": "Cancelled"}
		}, map[string]string{"b": "Cancelled"}, []string{"a", "b"}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			r, w := compare(t, func(w *world, _ *reconcile.Options) { tc.prepare(w) })
			require.Empty(t, r.Problems)
			require.Equal(t, all, r.Compared)
			require.Equal(t, tc.want, unended(r))
			require.Equal(t, len(tc.want), r.Unended.Count)
			require.Equal(t, tc.ended, r.Unended.Ended)
			require.Equal(t, tc.ended > 0, r.Misses())
			require.Equal(t, tc.asked, w.asked)
		})
	}
}

// TestSettling takes its time only where something is missing.
func TestSettling(t *testing.T) {
	for name, tc := range map[string]struct {
		code string
		want time.Duration
	}{"nothing is missing": {"a", 0}, "something is": {"b", time.Minute}} {
		t.Run(name, func(t *testing.T) {
			r, _ := compare(t, func(w *world, _ *reconcile.Options) {
				w.list(time.Hour, "a")
				w.enrolled(time.Hour, tc.code)
				w.codes = map[string]bool{"b": true}
			})
			require.Equal(t, tc.want, r.Ended.Sub(r.Began))
		})
	}
}

func TestDetails(t *testing.T) {
	r, w := compare(t, func(w *world, _ *reconcile.Options) {
		w.list(time.Hour, "a", "b")
		w.list(30*time.Hour, "c")
		w.enrolled(time.Minute, "a")
		w.enrolled(time.Minute, "z")
		w.happen(2*time.Hour, "enrollment.b2c.started", "op", "")
		w.happen(0, "a.b", "op", "")
		w.records = append(w.records, reconcile.Record{Value: []byte("who knows")})
		w.statuses = map[string]awareid.B2CStatus{"op": "Pending"}
	})
	require.Equal(t, reconcile.KafkaCounts{Records: 5, Passed: 1, Completed: 2, Operations: 3}, r.Kafka)
	require.Equal(t, reconcile.PlatformCounts{Pages: 2, Enrollments: 3, Matched: 1, Earlier: 1}, r.Platform)
	require.Equal(t, r.Began.Add(-24*time.Hour), r.Since)
	require.True(t, w.since.Before(r.Since))
	require.Equal(t, []reconcile.MissingEnrollment{{RegistrationCode: "b", Value: "b", Began: r.Began.Add(-time.Hour)}}, r.Missing.List)
	require.Equal(t, []reconcile.UnknownEvent{{ID: "id-1", OperationToken: "op-z", Value: "z", Time: r.Began.Add(-time.Minute), Position: "t/0@1"}}, r.Unknown.List)
	require.Equal(t, []reconcile.UnendedOperation{{
		OperationToken: "op", Type: "enrollment.b2c.started", Time: r.Began.Add(-2 * time.Hour), Position: "t/0@2", B2C: true, Status: "Pending",
	}}, r.Unended.List)
	require.Equal(t, 1, r.Unended.Pending)
}

// TestListsEnd, and counts go on.
func TestListsEnd(t *testing.T) {
	const n = reconcile.MaxListed + 5
	r, w := compare(t, func(w *world, _ *reconcile.Options) {
		w.statuses = map[string]awareid.B2CStatus{}
		for i := range n {
			code := fmt.Sprint(i)
			w.list(time.Hour, "m"+code)
			w.happen(2*time.Hour, "enrollment.b2c.started", "o"+code, "")
			w.enrolled(time.Minute, "u"+code)
			w.statuses["o"+code] = "Completed"
		}
	})
	require.Equal(t, []int{n, n, n}, []int{r.Missing.Count, r.Unended.Count, r.Unknown.Count})
	require.Len(t, r.Missing.List, reconcile.MaxListed)
	require.Len(t, r.Unended.List, reconcile.MaxListed)
	require.Len(t, r.Unknown.List, reconcile.MaxListed)
	require.Len(t, w.asked, 2*reconcile.MaxListed)
	require.Equal(t, reconcile.MaxListed, r.Unended.Ended)
	require.Equal(t, []reconcile.Subject{reconcile.Enrollments}, r.Compared)
	require.Contains(t, strings.Join(r.Problems, "\n"), "only 1000 of 1005")
}
