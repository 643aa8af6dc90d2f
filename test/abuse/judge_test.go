package main

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A judge that finds nothing proves nothing unless it can find something.

func TestJudge(t *testing.T) {
	for name, test := range map[string]struct {
		row  row
		want string // of the one bound that is broken; "": none
	}{
		"all is well":         {row{Honest: phase{Sent: 100, P99: time.Second}, Slowdown: 3, Memory: 192<<20 - 1, BodyBytes: bodyBudget}, ""},
		"an event was lost":   {row{Honest: phase{Lost: 1, Why: []string{"503: busy"}}}, `1 honest events were lost: ["503: busy"]`},
		"slow":                {row{Slowdown: 3.1}, "the honest p99 is 3.1 times the quiet one"},
		"too much memory":     {row{Memory: 192 << 20}, "192 MiB of memory"},
		"too many bodies":     {row{BodyBytes: bodyBudget + 1}, "67108865 bytes of bodies"},
		"a fault":             {row{Failures: 1, Internal: 1}, "1 answers 500"},
		"503 to the attacker": {row{Failures: 1}, ""},
		"full strength":       {row{AtLeast: strength{10, 20}, Strength: strength{10, 20}}, ""},
		"few connections":     {row{AtLeast: strength{10, 20}, Strength: strength{9, 20}}, "too weak: 9 connections at once and 20 requests, where 10 and 20 are the least"},
		"no request":          {row{AtLeast: strength{Requests: 20}}, "too weak: 0 connections at once and 0 requests, where 0 and 20 are the least"},
		"a surprise":          {row{Surprises: 2, Examples: []string{"200"}}, `2 surprises: ["200"]`},
	} {
		t.Run(name, func(t *testing.T) {
			broken := test.row.judge()
			require.Equal(t, test.want != "", results{Rows: []row{{}, {Broken: broken}}}.bad())
			if test.want != "" {
				require.Equal(t, []string{test.want}, broken)
			}
		})
	}
	require.True(t, results{Broken: []string{"no slowhttptest"}}.bad())
}

func TestSlowdown(t *testing.T) {
	require.InDelta(t, 2.0, slowdown(phase{P99: 10 * time.Millisecond}, phase{P99: 20 * time.Millisecond}), 1e-9)
	require.InDelta(t, 4.0, slowdown(phase{P99: time.Millisecond}, phase{P99: 4 * time.Millisecond}), 1e-9, "no floor")
}

func TestQuantile(t *testing.T) {
	var times []time.Duration
	require.Zero(t, quantile(times, 0.99))
	for i := range 200 {
		times = append(times, time.Duration(i+1))
	}
	require.EqualValues(t, 100, quantile(times, 0.50))
	require.EqualValues(t, 198, quantile(times, 0.99))
	require.EqualValues(t, 200, quantile(times, 1))
	require.EqualValues(t, 7, quantile([]time.Duration{7}, 0.99))
}

func TestPhase(t *testing.T) {
	p := newPhase([]delivery{
		{200, "accepted", 4}, {202, "spooled", 1}, {202, "quarantined", 3}, {503, "busy", 2}, {none, "EOF", 5}, {401, "forged", 6},
	})
	require.Equal(t, phase{
		Sent: 6, Answers: classes{OK: 3, ClientError: 1, ServerError: 1, None: 1}, Lost: 4, P50: 3, P99: 6,
		Why: []string{"202: quarantined", "503: busy", "no answer: EOF"},
	}, p)
	require.Equal(t, "3/1/1/1", p.Answers.String())
}

func TestReport(t *testing.T) {
	r := newReport([]int{http.StatusUnauthorized, none})
	r.answered(http.StatusUnauthorized)
	r.answered(none)
	r.judged("a case", http.StatusOK, http.StatusOK, "")
	require.Zero(t, r.result().Surprises)

	r.answered(http.StatusOK)
	r.judged("a case", http.StatusOK, none, "EOF")
	for range shownSurprises {
		r.wrong("more")
	}
	got := r.result()
	require.Equal(t, 2+shownSurprises, got.Surprises)
	require.Len(t, got.Unexpected, shownSurprises)
	require.Equal(t, []string{"200 where it may be [401 0]", "a case: no answer in place of 200: EOF"}, got.Unexpected[:2])
	require.Equal(t, classes{OK: 2, ClientError: 1, None: 2}, got.classes())
	require.Equal(t, 5, got.requests())
	r.made(6)
	require.Equal(t, 6, r.result().requests(), "connections")
}

func TestBooks(t *testing.T) {
	r := newReport(nil)
	r.took("accepted", "a", []byte("1"), nil)
	r.took("spooled", "b", []byte("2"), nil)
	r.took("quarantined", "c", nil, []byte("x"))
	r.took("quarantined", "d", nil, []byte("x")) // one record for one body
	r.took("", "e", nil, nil)
	r.forbid("f")
	b := newBooks()
	b.enter(r.result())
	stored := func(id, value string) record { return record{id: id, value: digestOf([]byte(value))} }
	quarantined := record{quarantined: true}
	for name, test := range map[string]struct {
		records []record
		want    audit
	}{
		"as promised":      {[]record{stored("a", "1"), stored("b", "2"), quarantined}, audit{Records: 2, Quarantined: 1}},
		"without a 2xx":    {[]record{stored("a", "1"), stored("b", "2"), stored("e", "5"), quarantined}, audit{Records: 3, Quarantined: 1}},
		"lost":             {[]record{stored("a", "1"), quarantined}, audit{Records: 1, Quarantined: 1, Lost: 1}},
		"duplicated":       {[]record{stored("a", "1"), stored("b", "2"), stored("b", "2"), quarantined}, audit{Records: 3, Quarantined: 1, Duplicated: 1}},
		"altered":          {[]record{stored("a", "1"), stored("b", "3"), quarantined}, audit{Records: 2, Quarantined: 1, Altered: 1}},
		"smuggled":         {[]record{stored("a", "1"), stored("b", "2"), stored("f", "6"), quarantined}, audit{Records: 3, Quarantined: 1, Forbidden: 1}},
		"not quarantined":  {[]record{stored("a", "1"), stored("b", "2")}, audit{Records: 2, Missing: 1}},
		"quarantined more": {[]record{stored("a", "1"), stored("b", "2"), quarantined, quarantined}, audit{Records: 2, Quarantined: 2, Missing: -1}},
	} {
		t.Run(name, func(t *testing.T) {
			test.want.Events = 2
			got := b.audit(test.records)
			require.Equal(t, test.want, got)
			require.Equal(t, name == "as promised" || name == "without a 2xx", len(got.broken()) == 0)
		})
	}
}

func TestBounds(t *testing.T) {
	require.Equal(t, "hold", row{}.bounds())
	require.Equal(t, "BROKEN", row{Broken: []string{"a bound"}}.bounds())
	require.Equal(t, "TOO WEAK", row{AtLeast: strength{Connections: 1}, Broken: []string{"a bound"}}.bounds())
}
