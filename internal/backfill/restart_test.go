package backfill_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/backfill"
)

// TestRestart is the way back after one number that lies far above all others.
func TestRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.platform.lacks = func(n string) bool { return len(n) > 4 }
		r.begin()
		r.came(1001, 1003)
		r.came(1<<52, 1<<52)
		r.came(1004, 1010, 1007)
		after(grace + time.Hour)
		require.True(t, r.status().Paused())

		jobs := backfill.NewJobs(r.Backfiller)
		defer jobs.Close()
		request := httptest.NewRequest("POST", "/api/backfill/restart", strings.NewReader(`{}`))
		request.Header.Set("Content-Type", "application/json")
		answer := httptest.NewRecorder()
		jobs.Handler().ServeHTTP(answer, request)
		require.Equal(t, http.StatusOK, answer.Code)
		var dropped map[string]any
		require.NoError(t, json.Unmarshal(answer.Body.Bytes(), &dropped))
		require.Equal(t, hookID, dropped["webhook"])
		require.EqualValues(t, 1<<52+1, dropped["next"])
		require.NotEmpty(t, dropped["pausedUntil"])
		require.False(t, r.status().Begun)

		r.came(1011, 1015, 1013)
		after(grace + 4*interval)
		require.Contains(t, r.kafka.ids(), "event-1013")
		require.EqualValues(t, 1011, r.status().First)
		require.Zero(t, r.status().Missing+r.status().Retrying)
	})
}

// TestRestartOfOne of several webhooks wants its name.
func TestRestartOfOne(t *testing.T) {
	r := newRig(t, func(o *backfill.Options) {
		o.Webhooks[0].Name = "first"
		o.Webhooks = append(o.Webhooks, backfill.Webhook{ID: "another", Name: "another", Opener: o.Webhooks[0].Opener})
	})
	r.came(1, 9, 5)
	_, err := r.Restart(t.Context(), "")
	require.ErrorIs(t, err, backfill.ErrRequest)
	_, err = r.Restart(t.Context(), "another")
	require.NoError(t, err)
	require.EqualValues(t, 1, r.status().Missing)
	dropped, err := r.Restart(t.Context(), "first")
	require.NoError(t, err)
	require.EqualValues(t, 1, dropped.Missing)
	require.Zero(t, r.status().Missing)
}
