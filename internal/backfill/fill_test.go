package backfill_test

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

	"awareid-gateway/internal/backfill"
	"awareid-gateway/internal/dispatch"
)

func at(n uint64) *uint64 { return &n }

func TestRequests(t *testing.T) {
	r := newRig(t)
	cases := map[string]struct {
		request backfill.Request
		err     error
	}{
		"no end":            {backfill.Request{From: at(1)}, backfill.ErrRequest},
		"no beginning":      {backfill.Request{To: at(1)}, backfill.ErrRequest},
		"backwards":         {backfill.Request{From: at(2), To: at(1)}, backfill.ErrRequest},
		"too far":           {backfill.Request{From: at(2), To: at(1 << 53)}, backfill.ErrRequest},
		"range and list":    {backfill.Request{From: at(1), To: at(2), List: []string{"1"}}, backfill.ErrRequest},
		"range and time":    {backfill.Request{From: at(1), To: at(2), Since: time.Hour}, backfill.ErrRequest},
		"list and time":     {backfill.Request{List: []string{"1"}, Since: time.Hour}, backfill.ErrRequest},
		"negative time":     {backfill.Request{Since: -1}, backfill.ErrRequest},
		"invisible number":  {backfill.Request{List: []string{"1", "a b"}}, backfill.ErrRequest},
		"empty number":      {backfill.Request{List: []string{""}}, backfill.ErrRequest},
		"unknown webhook":   {backfill.Request{Webhook: "another"}, backfill.ErrUnknownWebhook},
		"the webhook by id": {backfill.Request{Webhook: hookID}, nil},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := r.Fill(t.Context(), tc.request, nil)
			require.ErrorIs(t, err, tc.err)
			require.Empty(t, r.platform.asked())
		})
	}
}

// TestFillByHand takes each way to say what is wanted.
func TestFillByHand(t *testing.T) {
	cases := map[string]struct {
		request backfill.Request
		asked   []string
	}{
		"a range":           {backfill.Request{From: at(3), To: at(6)}, []string{"3", "4", "5", "6"}},
		"one":               {backfill.Request{From: at(3), To: at(3)}, []string{"3"}},
		"a list":            {backfill.Request{List: []string{"7", "tx-0001/a", "8"}}, []string{"7", "tx-0001/a", "8"}},
		"what is missing":   {backfill.Request{}, []string{"12", "5", "2"}}, // kind after kind
		"found since then":  {backfill.Request{Since: 90 * time.Minute}, []string{"12"}},
		"found long before": {backfill.Request{Since: 100 * time.Hour}, []string{"12", "5", "2"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				r.came(1, 10, 2, 5)
				r.platform.lacks = func(n string) bool { return n == "5" || n == "2" }
				retry(r, 2, 5)
				r.platform.lacks, r.platform.calls = nil, nil
				time.Sleep(2 * time.Hour)
				r.came(11, 13, 12)
				s, err := r.Fill(t.Context(), tc.request, nil)
				require.NoError(t, err)
				require.True(t, s.Complete())
				require.Equal(t, [][]string{tc.asked}, r.platform.asked())
				require.EqualValues(t, len(tc.asked), s.Outcomes[backfill.Accepted])
			})
		})
	}
}

// retry makes the first number unrecoverable, and has the second one asked for
// again.
func retry(r *rig, unrecoverable, again uint64) {
	r.Helper()
	end := r.begin()
	time.Sleep(grace + 4*interval)
	end()
	require.NoError(r, r.numbers.Postpone(r.Context(), hookID, giveUp(unrecoverable)))
	status := r.status()
	require.Equal(r, []uint64{0, 1, 1}, []uint64{status.Missing, status.Retrying, status.Unrecoverable})
	require.NotEqual(r, unrecoverable, again)
}

func TestDryRun(t *testing.T) {
	r := newRig(t)
	r.came(1, 9, 4)
	s, err := r.Fill(t.Context(), backfill.Request{DryRun: true}, nil)
	require.NoError(t, err)
	require.True(t, s.Complete())
	require.Equal(t, map[backfill.Outcome]uint64{backfill.Ready: 1}, s.Outcomes)
	require.Empty(t, r.kafka.ids())
	require.EqualValues(t, 1, r.status().Missing)
}

// TestSparseNumbers: a fetch of a huge gap ends where nothing comes.
func TestSparseNumbers(t *testing.T) {
	r := newRig(t)
	r.platform.lacks = func(string) bool { return true }
	r.came(1, 1)
	r.came(1_000_000_000, 1_000_000_000)
	s, err := r.Fill(t.Context(), backfill.Request{}, nil)
	require.ErrorIs(t, err, backfill.ErrSparse)
	require.EqualValues(t, 1000, s.Asked)
	require.EqualValues(t, 999_999_998, s.Total)
}

// TestFillEndsEarly keeps what was done, whoever ends it.
func TestFillEndsEarly(t *testing.T) {
	t.Run("by the caller", func(t *testing.T) {
		r := newRig(t)
		ctx, cancel := context.WithCancel(t.Context())
		s, err := r.Fill(ctx, backfill.Request{From: at(1), To: at(1000)}, func(s backfill.Summary) {
			if s.Asked == 300 {
				cancel()
			}
		})
		require.ErrorIs(t, err, context.Canceled)
		require.EqualValues(t, 300, s.Outcomes[backfill.Accepted])
		require.EqualValues(t, 1000, s.Total)
	})
	t.Run("by Kafka", func(t *testing.T) {
		r := newRig(t)
		r.kafka.fail(dispatch.ErrNotStored)
		s, err := r.Fill(t.Context(), backfill.Request{From: at(1), To: at(1000)}, nil)
		require.ErrorIs(t, err, dispatch.ErrNotStored)
		require.EqualValues(t, 100, s.Outcomes[backfill.Failed])
		require.Len(t, s.Unrecovered, 100)
		require.False(t, s.Complete())
	})
}

// api is the admin API in a test.
type api struct {
	*rig
	jobs *backfill.Jobs
	http.Handler
}

func newAPI(t *testing.T) *api {
	r := newRig(t)
	jobs := backfill.NewJobs(r.Backfiller)
	t.Cleanup(jobs.Close)
	return &api{rig: r, jobs: jobs, Handler: jobs.Handler()}
}

func (a *api) ask(method, path, body string, into any) *http.Response {
	a.Helper()
	request := httptest.NewRequest(method, path, strings.NewReader(body))
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	answer := httptest.NewRecorder()
	a.ServeHTTP(answer, request)
	response := answer.Result()
	text, err := io.ReadAll(response.Body)
	require.NoError(a, err)
	if into != nil {
		require.NoError(a, json.Unmarshal(text, into), string(text))
	}
	return response
}

func TestAPI(t *testing.T) {
	a := newAPI(t)
	a.came(1, 9, 4, 5)
	var job backfill.Job
	answer := a.ask("POST", "/api/backfill", `{"since":"2h"}`, &job)
	require.Equal(t, http.StatusAccepted, answer.StatusCode)
	require.Equal(t, "/api/backfill/"+job.ID, answer.Header.Get("Location"))
	require.Eventually(t, func() bool {
		a.ask("GET", "/api/backfill/"+job.ID, "", &job)
		return job.State != backfill.Running
	}, 10*time.Second, time.Millisecond)
	require.Equal(t, backfill.Done, job.State)
	require.EqualValues(t, 2, job.Summary.Outcomes[backfill.Accepted])
	require.NotNil(t, job.Ended)

	var all struct {
		Webhooks []map[string]any
		Jobs     []backfill.Job
	}
	require.Equal(t, http.StatusOK, a.ask("GET", "/api/backfill", "", &all).StatusCode)
	require.Len(t, all.Jobs, 1)
	require.Equal(t, hookID, all.Webhooks[0]["webhook"])
	require.EqualValues(t, 0, all.Webhooks[0]["missing"])
	require.EqualValues(t, 10, all.Webhooks[0]["next"])
	require.Equal(t, http.StatusNoContent, a.ask("POST", "/api/backfill/resume", `{}`, nil).StatusCode)
	require.Equal(t, http.StatusOK, a.ask("GET", "/api/backfill/unrecoverable", "", nil).StatusCode)
}

func TestJobsAreBoundedAndCancelled(t *testing.T) {
	a := newAPI(t)
	a.platform.hangs = true
	var first backfill.Job
	for range 2 {
		require.Equal(t, http.StatusAccepted, a.ask("POST", "/api/backfill", `{"list":["1"]}`, &first).StatusCode)
	}
	require.Equal(t, http.StatusConflict, a.ask("POST", "/api/backfill", `{"list":["1"]}`, nil).StatusCode)
	require.Equal(t, http.StatusNoContent, a.ask("DELETE", "/api/backfill/"+first.ID, "", nil).StatusCode)
	require.Eventually(t, func() bool {
		job, ok := a.jobs.Get(first.ID)
		return ok && job.State == backfill.Cancelled
	}, 10*time.Second, time.Millisecond)
	a.platform.set(func(p *platform) { p.hangs = false })
	for range 60 { // the oldest are forgotten
		var job backfill.Job
		require.Equal(t, http.StatusAccepted, a.ask("POST", "/api/backfill", `{"list":["1"]}`, &job).StatusCode)
		require.Eventually(t, func() bool {
			job, ok := a.jobs.Get(job.ID)
			return ok && job.State == backfill.Done
		}, 10*time.Second, 100*time.Microsecond)
	}
	require.LessOrEqual(t, len(a.jobs.List()), 52)
	a.jobs.Close()
	require.Equal(t, http.StatusConflict, a.ask("POST", "/api/backfill", `{"list":["1"]}`, nil).StatusCode)
}

func TestAPIRefuses(t *testing.T) {
	a := newAPI(t)
	cases := map[string]struct {
		method, path, body string
		code               int
	}{
		"not JSON":         {"POST", "/api/backfill", "from=1", 400},
		"unknown member":   {"POST", "/api/backfill", `{"form":1}`, 400},
		"a member twice":   {"POST", "/api/backfill/restart", `{"webhook":"x","webhook":""}`, 400},
		"two objects":      {"POST", "/api/backfill/restart", `{} {}`, 400},
		"no object":        {"POST", "/api/backfill/restart", `null`, 400},
		"bad time":         {"POST", "/api/backfill", `{"since":"yesterday"}`, 400},
		"bad range":        {"POST", "/api/backfill", `{"from":5,"to":1}`, 400},
		"negative number":  {"POST", "/api/backfill", `{"from":-5,"to":1}`, 400},
		"no content type":  {"POST", "/api/backfill", "", 415},
		"unknown webhook":  {"POST", "/api/backfill", `{"webhook":"x"}`, 404},
		"unknown job":      {"GET", "/api/backfill/x", "", 404},
		"unknown to end":   {"DELETE", "/api/backfill/x", "", 404},
		"unknown to go on": {"POST", "/api/backfill/resume", `{"webhook":"x"}`, 404},
		"unknown to drop":  {"POST", "/api/backfill/restart", `{"webhook":"x"}`, 404},
		"unknown list":     {"GET", "/api/backfill/unrecoverable?webhook=x", "", 404},
		"another method":   {"PUT", "/api/backfill", "", 405},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, tc.code, a.ask(tc.method, tc.path, tc.body, nil).StatusCode)
		})
	}
	t.Run("another site", func(t *testing.T) {
		request := httptest.NewRequest("POST", "http://localhost/api/backfill", strings.NewReader(`{}`))
		request.Header.Set("Content-Type", "application/json")
		request.Header.Set("Sec-Fetch-Site", "cross-site")
		answer := httptest.NewRecorder()
		a.ServeHTTP(answer, request)
		require.Equal(t, http.StatusForbidden, answer.Code)
	})
	require.Empty(t, a.jobs.List())
}

// TestAHandFetchBelowTheFirstNumber fetches what was named, and has nothing else
// fetched later.
func TestAHandFetchBelowTheFirstNumber(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.came(500, 510)
		_, err := r.Fill(t.Context(), backfill.Request{From: at(490), To: at(491)}, nil)
		require.NoError(t, err)
		require.EqualValues(t, 500, r.status().First)
		r.begin()
		after(24 * time.Hour)
		require.Equal(t, [][]string{{"490", "491"}}, r.platform.asked())
	})
}
