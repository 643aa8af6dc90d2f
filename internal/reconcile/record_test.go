package reconcile_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/event"
	"awareid-gateway/internal/reconcile"
)

// TestMembers are found in data, then beside it.
func TestMembers(t *testing.T) {
	for payload, want := range map[string]string{
		`{"data":{"m":"a"}}`:                  "a",
		`{"data":{"m":"a"},"m":"b"}`:          "a",
		`{"data":{"m":""},"m":"b"}`:           "b",
		`{"data":[],"m":"b"}`:                 "b",
		`{"data":{"m":{"m":"a"}}}`:            "",
		`{"data":{"m":289794}}`:               "289794",
		`{"data":{"m":true},"m":1.50}`:        "1.50",
		`{"data":{"m":"a","m":"b"}}`:          "b",
		`{"data":{"m":"\u00fc\ud83d\ude00"}}`: "ü😀",
		"{\"data\":{\"m\":\"a\xff\"}}":        "a\ufffd",
		`{"data":{"M":"a"}}`:                  "",
		`["m"]`:                               "", `"m"`: "", ``: "", `{"m":"a"`: "", `{"m":"a"} x`: "",
	} {
		got, ok := reconcile.MemberOf([]byte(payload), "m")
		require.Equal(t, want, got, payload)
		require.Equal(t, want != "", ok, payload)
	}
}

// TestDates are read in the forms that are known, and never as later than they are.
func TestDates(t *testing.T) {
	for object, want := range map[string]string{
		`{"startDate":"2022-02-16T14:33:11.889-0500"}`: "2022-02-16T19:33:11.889Z",
		`{"startDate":"2022-02-16T14:33:11Z"}`:         "2022-02-16T14:33:11Z",
		`{"startDate":"2022-02-16T14:33:11.5+01:00"}`:  "2022-02-16T13:33:11.5Z",
		`{"startDate":"2022-02-16 14:33:11+01:00"}`:    "2022-02-16T13:33:11Z",
		`{"startDate":"2022-02-16T14:33:11"}`:          "2022-02-16T00:33:11Z",
		`{"startDate":"2022-02-16"}`:                   "2022-02-15T10:00:00Z",
		`{"startDate":1645022001}`:                     "2022-02-16T14:33:21Z",
		`{"startDate":"1645022001889"}`:                "2022-02-16T14:33:21.889Z",
		`{"startDate":"yesterday"}`:                    "", `{"startDate":""}`: "", `{"startDate":16}`: "", `{"startDate":-1645022001}`: "", `{}`: "", `x`: "",
	} {
		got, ok := reconcile.BeganAt(object)
		require.Equal(t, want != "", ok, object)
		if ok {
			require.Equal(t, want, got, object)
		}
	}
}

// FuzzRecord: whatever is in a topic does no harm, and a member that is there is
// found.
func FuzzRecord(f *testing.F) {
	f.Add("ce_type", []byte("enrollment.completed"), []byte(`{"data":{"registrationCode":"x"}}`), "op", "code")
	f.Add("ce_source", []byte("/awareid/webhooks/x"), []byte(`{"registrationCode":1e9}`), "", "")
	f.Add("", []byte(nil), []byte(nil), "\xff", "\xff")
	f.Add("ce_subject", []byte("a/../b"), []byte(`[`), "..", `\u0000"`)
	f.Add("ce_type", []byte("..started"), []byte(`{"data":`), "op", "1")
	f.Fuzz(func(t *testing.T, header string, text, payload []byte, operation, code string) {
		w := &world{}
		w.happen(2*time.Hour, "enrollment.b2c.started", operation, "")
		w.happen(time.Minute, "enrollment.completed", operation, "")
		w.enrolled(time.Minute, "known")
		w.list(time.Hour, "known")
		for i := range w.records[:2] {
			w.records[i].Headers = append(w.records[i].Headers, event.Header{Key: header, Value: text})
			w.records[i].Value = payload
		}
		o := options(w)
		o.Settle = 0
		r := reconcile.New(o).Once(t.Context())
		require.Equal(t, 3, r.Kafka.Records)
		require.Equal(t, 1, r.Platform.Matched)
		require.Zero(t, r.Missing.Count)
		for _, p := range r.Problems {
			require.Contains(t, p, "enrollment.completed events have no registrationCode")
		}
		if value, ok := reconcile.MemberOf(payload, "registrationCode"); ok {
			require.NotEmpty(t, value)
		}
		quoted, err := quote(code)
		if err != nil || code == "" {
			return
		}
		value, ok := reconcile.MemberOf([]byte(`{"data":{"a":[{}],"registrationCode":`+quoted+`}}`), "registrationCode")
		require.True(t, ok)
		require.Equal(t, code, value)
	})
}
