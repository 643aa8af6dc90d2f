package event_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/event"
)

// What events look like must not leave the fast way unnoticed.
func TestUsualEvents(t *testing.T) {
	for _, payload := range []string{
		sample, checkDevice, string(sampleOf(64 << 10)),
		head + `{"x":"李小龍 \u003d\/\"\\\n","y":[true,false,null,-1.5e+3,[],{},[[{"z":0}]]],"transactionNum":"0017"}}`,
		head + `null,"operationToken":null,"transactionNum":{"x":1}}`,
	} {
		e, ok := event.Usual([]byte(payload))
		require.True(t, ok, payload)
		requireSame(t, payload, e)
	}
}

// TestUsualStrings puts what may end or break a string at every place of one, as
// bytes are looked at many at a time.
func TestUsualStrings(t *testing.T) {
	for _, piece := range []string{
		"\x00", "\x1f", " ", "!", "#", "[", "]", "\x7f", "\x80", "\xc3\xa9", "\xed\xa0\x80", "\xff", `"`, `\`, `\n`, `\"`,
		`\u00e9`, `\uD7FF`, `\ud800`, `\uDBff`, `\udc00`, `\uDFFF`, `\ue000`, `\u12G4`,
	} {
		for before := range 40 {
			payload := fmt.Sprintf(`%s{"x":"%s%s%s"}}`, head, strings.Repeat("~", before), piece, strings.Repeat("~", 20))
			e, ok := event.Usual([]byte(payload))
			_, err := event.Unusual([]byte(payload))
			require.Equal(t, err == nil, ok, "%q after %d", piece, before)
			if ok {
				requireSame(t, payload, e)
			}
		}
	}
}

// FuzzUsual: what the reader of usual events takes, the one of all others takes
// too, and reads the same.
func FuzzUsual(f *testing.F) {
	for _, seed := range []string{
		sample, checkDevice, `{}`, head + `1}`, head + `{"x":01}}`, head + `{"x":1.}}`, head + `{"x":-}}`, head + `{"x":1e}}`, head + `{"x":tru}}`,
		head + `{"x":"\ud83d\ude00","y":"\uD7ff"}}`, head + `{"x":"\u12"}}`, head + "{\"x\":\"a\x1f\"}}", head + "{\"x\":\"1234567\xff\"}}", head + "{\"x\":\"12345678\x7f\"}}",
		head + `[1,]}`, head + `[,1]}`, head + `[1 2]}`, head + `{"a":1,}}`, head + `{,}}`, head + `{"a" 1}}`, head + `{"a":1]}`, head + `{}}{`, head + "{}}\x00",
		head + `{"status":1,"status":2}}`, head + `{"userAssertionList":[{"assertions":{"a":"fail"},"assertions":{"b":"fail"}}]}}`,
		head + `{"responseDetail":{"transactionNum":1,"transactionNum":"2","responseDetail":{"status":7},"status":8}},"transactionNum":" "}`,
		head + strings.Repeat("[", 70) + strings.Repeat("]", 70) + `}`, strings.Replace(head, "Z", "-0500", 1) + `{"policyDecision":"x\u0079","authStatus":"é"}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		before := string(payload)
		e, ok := event.Usual(payload)
		require.Equal(t, before, string(payload))
		if ok {
			requireSame(t, before, e)
		}
	})
}

func requireSame(t *testing.T, payload string, e event.Event) {
	t.Helper()
	want, err := event.Unusual([]byte(payload))
	require.NoError(t, err, payload)
	requireSameTime(t, want.Created, e.Created)
	e.Created = want.Created
	require.Equal(t, want, e, payload)
}

func requireSameTime(t *testing.T, want, got time.Time) {
	t.Helper()
	require.True(t, want.Equal(got), "%s is not %s", got, want)
	require.Equal(t, want.Format(time.RFC3339Nano), got.Format(time.RFC3339Nano))
}

func TestUsualTimes(t *testing.T) {
	for _, text := range []string{
		"2026-11-23T18:26:57.550-0500", "2026-01-02T03:04:05Z", "2024-02-29T00:00:00+05:30", "0000-12-31T23:59:59.123456789+0000", "2026-01-02T03:04:05.000Z",
	} {
		got, ok := event.ReadTime([]byte(text))
		require.True(t, ok, text)
		want, err := event.ParseTime(text)
		require.NoError(t, err)
		requireSameTime(t, want, got)
	}
	for _, text := range []string{"2025-02-29T00:00:00Z", "2026-13-01T00:00:00Z", "2026-00-01T00:00:00Z", "2026-01-00T00:00:00Z", "2026-01-01T24:00:00Z", "2026-01-01T00:00:60Z"} {
		_, ok := event.ReadTime([]byte(text))
		require.False(t, ok, text)
	}
}

// FuzzCreated: a time that is read directly is the one that package time reads.
func FuzzCreated(f *testing.F) {
	for _, zone := range []string{"Z", "-0500", "+05:30", "+2359", "+24:00", "-00:00", "", "z", "+05:3", "+5:30"} {
		for _, at := range []string{"2026-11-23T18:26:57", "2024-02-29T23:59:59", "2023-02-29T00:00:00", "9999-12-31T23:59:59", "2026-04-31T00:00:60"} {
			for _, fraction := range []string{"", ".5", ".", ",5", ".123456789", ".1234567891"} {
				f.Add(fmt.Sprintf("%s%s%s", at, fraction, zone))
			}
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, ok := event.ReadTime([]byte(text))
		if !ok {
			return
		}
		want, err := event.ParseTime(text)
		require.NoError(t, err)
		requireSameTime(t, want, got)
	})
}
