package event_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/event"
)

// sample is the callback of the reference, with a transaction number.
const sample = `{
  "id": "b6ea6be6-5e11-4946-9dc2-d41db57c5171",
  "created": "2022-02-16T14:33:11.889-0500",
  "type": "enrollment.started",
  "operationToken": "9336b7b9-6a37-4aca-91b0-10b929e5c340",
  "username": "string",
  "data": {"transactionNum": 17}
}`

func TestParseReadsTheCallbackOfTheReference(t *testing.T) {
	e, err := event.Parse([]byte(sample))
	require.NoError(t, err)
	require.Equal(t, "b6ea6be6-5e11-4946-9dc2-d41db57c5171", e.ID)
	require.Equal(t, "enrollment.started", e.Type)
	require.Equal(t, "9336b7b9-6a37-4aca-91b0-10b929e5c340", e.OperationToken)
	require.Equal(t, "17", e.TransactionNum)
	require.True(t, e.Created.Equal(time.Date(2022, 2, 16, 19, 33, 11, 889e6, time.UTC)))
	require.Equal(t, sample, string(e.Payload), "the payload stays byte for byte")
}

func TestParseMembers(t *testing.T) {
	const head = `{"id":"i","type":"enrollment.started","created":"2026-01-02T03:04:05Z"`
	for name, tc := range map[string]struct{ json, operation, number string }{
		"number at the top":               {head + `,"transactionNum":5}`, "", "5"},
		"string at the top":               {head + `,"transactionNum":"0005"}`, "", "0005"},
		"number in data":                  {head + `,"data":{"a":[1,{"transactionNum":3}],"transactionNum":6}}`, "", "6"},
		"the top wins over data":          {head + `,"data":{"transactionNum":6},"transactionNum":5}`, "", "5"},
		"a number not ours to read":       {head + `,"transactionNum":{"a":1}}`, "", ""},
		"a number with white space":       {head + `,"transactionNum":"1 2"}`, "", ""},
		"null everywhere":                 {head + `,"operationToken":null,"transactionNum":null,"data":null}`, "", ""},
		"data that is no object":          {head + `,"data":[{"transactionNum":6}]}`, "", ""},
		"an escaped name":                 {head + `,"operation\u0054oken":"op"}`, "op", ""},
		"repeated names outside our list": {head + `,"x":1,"x":2,"data":{"y":1,"y":2}}`, "", ""},
		"white space around":              {"\r\n\t " + head + "}\n", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			e, err := event.Parse([]byte(tc.json))
			require.NoError(t, err)
			require.Equal(t, tc.operation, e.OperationToken)
			require.Equal(t, tc.number, e.TransactionNum)
		})
	}
}

func TestParseRefuses(t *testing.T) {
	const rest = `,"type":"enrollment.started","created":"2026-01-02T03:04:05Z"}`
	long := strings.Repeat("x", event.MaxNameBytes+1)
	for name, tc := range map[string]struct{ json, says string }{
		"nothing":              {``, "not a JSON object"},
		"an array":             {`[1]`, "not a JSON object"},
		"a string":             {`"id"`, "not a JSON object"},
		"cut short":            {`{"id":"i"`, "not valid JSON"},
		"two objects":          {`{"id":"i"` + rest + `{}`, "something follows"},
		"no id":                {`{"x":1` + rest, "id: "},
		"id null":              {`{"id":null` + rest, "id: "},
		"id a number":          {`{"id":5` + rest, "id: not a string"},
		"id with a space":      {`{"id":"a b"` + rest, "id: "},
		"id too long":          {`{"id":"` + long + `"` + rest, "id: "},
		"id not ASCII":         {`{"id":"é"` + rest, "id: "},
		"two ids":              {`{"id":"a","id":"b"` + rest, "id: occurs twice"},
		"two ids, one escaped": {`{"id":"a","\u0069d":"b"` + rest, "id: occurs twice"},
		"two ids, null first":  {`{"id":null,"id":"b"` + rest, "id: occurs twice"},
		"two data":             {`{"id":"a","data":1,"data":2` + rest, "data: occurs twice"},
		"two numbers in data":  {`{"id":"a","data":{"transactionNum":1,"transactionNum":2}` + rest, "transactionNum: occurs twice"},
		"operation too long":   {`{"id":"a","operationToken":"` + strings.Repeat("x", event.MaxTokenBytes+1) + `"` + rest, "operationToken: "},
		"type with a slash":    {`{"id":"i","type":"a/b","created":"2026-01-02T03:04:05Z"}`, "type: "},
		"no type":              {`{"id":"i","created":"2026-01-02T03:04:05Z"}`, "type: "},
		"no time":              {`{"id":"i","type":"a"}`, "created: "},
		"a time without zone":  {`{"id":"i","type":"a","created":"2026-01-02T03:04:05"}`, "created: "},
		"invalid UTF-8":        {"{\"id\":\"i\",\"username\":\"\xff\"" + rest, "not valid JSON"},
		"nested without end":   {`{"id":"i","data":` + strings.Repeat("[", 1<<20), "not valid JSON"},
		"a NaN":                {`{"id":"i","data":NaN` + rest, "not valid JSON"},
		"a comment":            {`{"id":"i"/**/` + rest, "not valid JSON"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := event.Parse([]byte(tc.json))
			require.ErrorIs(t, err, event.ErrMalformed)
			require.ErrorContains(t, err, tc.says)
		})
	}
}

func TestParseErrorsQuoteNoValue(t *testing.T) {
	for _, payload := range []string{
		`{"id":"hush hush"}`, `{"username":"hush", x}`, `hush`, `{"hush":1,"id":5}`,
		`{"id":"i","type":"hush!"}`, `{"id":"i","type":"t","created":"hush"}`,
	} {
		_, err := event.Parse([]byte(payload))
		require.Error(t, err)
		require.NotContains(t, err.Error(), "hush")
	}
}

func TestCreatedForms(t *testing.T) {
	want := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for form, fraction := range map[string]time.Duration{
		"2026-01-01T22:04:05.889-0500":   889 * time.Millisecond,
		"2026-01-02T03:04:05+0000":       0,
		"2026-01-02T03:04:05Z":           0,
		"2026-01-02T08:34:05.123+05:30":  123 * time.Millisecond,
		"2026-01-02T03:04:05.000000001Z": 1,
	} {
		e, err := event.Parse([]byte(`{"id":"i","type":"a","created":"` + form + `"}`))
		require.NoError(t, err, form)
		require.Truef(t, e.Created.Equal(want.Add(fraction)), "%s was read as %s", form, e.Created)
	}
}

func TestFamilies(t *testing.T) {
	require.Len(t, event.Types(), 24)
	known := map[event.Family]int{}
	for _, name := range event.Types() {
		known[event.Event{Type: name}.Family()]++
	}
	require.Equal(t, map[event.Family]int{event.Enrollment: 10, event.Authentication: 7, event.Reenrollment: 7}, known)
	for name, want := range map[string]event.Family{
		"enrollment.brand.new": event.Enrollment, "enrollment": event.Enrollment,
		"enrollments.started": event.Other, "other.thing": event.Other, "payment": event.Other, ".": event.Other,
	} {
		require.Equal(t, want, event.Event{Type: name}.Family(), name)
	}
}

func TestKeysAndSequence(t *testing.T) {
	e := event.Event{ID: "i", OperationToken: "op", TransactionNum: "9007199254740991"}
	require.Equal(t, "op", e.PartitionKey())
	require.Equal(t, "hook/i", e.ClaimKey("hook"))
	n, ok := e.Sequence()
	require.True(t, ok)
	require.EqualValues(t, uint64(1<<53-1), n)
	require.Equal(t, "i", event.Event{ID: "i"}.PartitionKey())
	for _, s := range []string{"", "-1", "1.5", "1e3", "A7", "9007199254740992", "18446744073709551615", "18446744073709551616"} {
		_, ok := event.Event{TransactionNum: s}.Sequence()
		require.Falsef(t, ok, "%q", s)
		require.Empty(t, event.Event{TransactionNum: s}.AliasKey("hook"), s)
	}
}

func TestOneNumberHasOneAlias(t *testing.T) {
	a := event.Event{ID: "a", Type: "enrollment.started", TransactionNum: "17"}
	b := event.Event{ID: "b", Type: "enrollment.started", TransactionNum: "0017"}
	require.Equal(t, "hook/enrollment.started/17", a.AliasKey("hook"))
	require.Equal(t, a.AliasKey("hook"), b.AliasKey("hook"))
	require.NotEqual(t, a.AliasKey("hook"), a.AliasKey("other"))
	require.Equal(t, a.AliasIdentity("hook"), b.AliasIdentity("hook"))

	other := a
	other.Type = "enrollment.completed"
	require.NotEqual(t, a.AliasKey("hook"), other.AliasKey("hook"), "events of one transaction")
	for _, h := range b.AliasIdentity("hook") {
		require.Contains(t, b.Headers("hook"), h, "each record has them")
	}
}

func TestPastReadsWhatHeadersSay(t *testing.T) {
	e := event.Event{ID: "i", Type: "enrollment.started", TransactionNum: "0017"}
	past, webhook, ok := event.Past(e.Headers("hook"))
	require.True(t, ok)
	require.Equal(t, "hook", webhook)
	require.Equal(t, e.ClaimKey("hook"), past.ClaimKey(webhook))
	require.Equal(t, e.AliasKey("hook"), past.AliasKey(webhook))

	for name, headers := range map[string][]event.Header{
		"no headers":       nil,
		"no id":            {{Key: "ce_source", Value: []byte(event.Source("hook"))}},
		"no source":        {{Key: "ce_id", Value: []byte("i")}},
		"another's source": {{Key: "ce_id", Value: []byte("i")}, {Key: "ce_source", Value: []byte("/elsewhere/hook")}},
	} {
		_, _, ok := event.Past(headers)
		require.False(t, ok, name)
	}
}

func TestHeadersAreABinaryCloudEvent(t *testing.T) {
	e, err := event.Parse([]byte(sample))
	require.NoError(t, err)
	got := map[string]string{}
	for _, h := range e.Headers("486a5c0c27db4ebbbf970deacc755a25") {
		require.NotContains(t, got, h.Key)
		got[h.Key] = string(h.Value)
	}
	require.Equal(t, map[string]string{
		"ce_specversion": "1.0",
		"ce_id":          "b6ea6be6-5e11-4946-9dc2-d41db57c5171",
		"ce_type":        "enrollment.started",
		"ce_source":      "/awareid/webhooks/486a5c0c27db4ebbbf970deacc755a25",
		"ce_time":        "2022-02-16T14:33:11.889-05:00",
		"ce_subject":     "9336b7b9-6a37-4aca-91b0-10b929e5c340",
		"content-type":   "application/json",

		"aware-transaction-num": "17",
	}, got)
	for _, h := range e.Identity("486a5c0c27db4ebbbf970deacc755a25") {
		require.Equal(t, got[h.Key], string(h.Value))
	}
	for _, h := range (event.Event{}).Headers("w") {
		require.NotEqual(t, "ce_subject", h.Key)
	}
}

// FuzzParse: what is accepted is what encoding/json, the reader of most Go
// subscribers, reads as well.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		sample, checkDevice, `{}`, `[]`, ``,
		`{"id":"i","type":"a","created":"2026-01-02T03:04:05Z","data":{"responseDetail":{"userAssertionList":[1,{"assertions":{"a":{"fail":1},"b":"fail"}}]}}}`, `{"id":"a","id":"b"}`, "\xef\xbb\xbf{}", `{"id":"\ud800","type":"a","created":"2026-01-02T03:04:05Z"}`,
		`{"id":"i","type":"a","created":"2026-01-02T03:04:05Z","data":{"transactionNum":1e400}}`,
		`{"id":"i","type":"a","created":"2026-01-02T03:04:05,5Z","transactionNum":"7"}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		before := string(payload)
		e, err := event.Parse(payload)
		require.Equal(t, before, string(payload), "the payload was written to")
		if err != nil {
			require.True(t, errors.Is(err, event.ErrMalformed))
			return
		}
		require.True(t, utf8.Valid(payload))
		requireBounded(t, e)
		var want map[string]json.RawMessage
		require.NoError(t, json.Unmarshal(payload, &want))
		for name, got := range map[string]string{"id": e.ID, "type": e.Type, "operationToken": e.OperationToken} {
			var s *string
			if raw, ok := want[name]; ok {
				require.NoError(t, json.Unmarshal(raw, &s))
			}
			if s == nil {
				require.Empty(t, got)
			} else {
				require.Equal(t, *s, got)
			}
		}
	})
}
