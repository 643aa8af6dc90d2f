package backfill_test

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/backfill"
	"awareid-gateway/internal/store"
)

// FuzzAPI posts bodies. What is taken is one JSON object and nothing behind it, each
// of whose members is there once; every other answer is a problem document.
func FuzzAPI(f *testing.F) {
	for _, body := range []string{
		`{}`, `{"webhook":"` + hookID + `"}`, `{"webhook":"x"}`, `{"from":1,"to":9,"dryRun":true}`, `{"list":["1","2"],"since":"2h"}`, `{"since":"2h"}`,
		`{} {}`, `{}x`, `null`, `[]`, `"x"`, ``, `{`, `{"webhook":"x","webhook":""}`, `{"Webhook":""}`, `{"from":1e3,"to":18446744073709551616}`,
		`{"list":[1]}`, `{"list":["` + strings.Repeat("9", 400) + `"]}`, `{"since":"-1h"}`, "{\"webhook\":\"\xff\"}", strings.Repeat(`{"list":`, 200),
	} {
		for path := range posts {
			f.Add(path, []byte(body))
		}
	}
	numbers, err := store.OpenFile(filepath.Join(f.TempDir(), "gateway.db"), time.Now)
	require.NoError(f, err)
	f.Cleanup(func() { require.NoError(f, numbers.Close()) })
	jobs := backfill.NewJobs(backfill.New(backfill.Options{
		Webhooks: []backfill.Webhook{{ID: hookID}}, Numbers: numbers, Log: slog.New(slog.DiscardHandler),
	}))
	jobs.Close() // what would begin a job is answered 409
	f.Fuzz(func(t *testing.T, path string, body []byte) {
		taken, ok := posts[path]
		if !ok {
			t.Skip("no path of the API")
		}
		request := httptest.NewRequest(http.MethodPost, backfill.APIPath+path, strings.NewReader(string(body)))
		request.Header.Set("Content-Type", "application/json")
		answer := httptest.NewRecorder()
		jobs.Handler().ServeHTTP(answer, request)
		if answer.Code != http.StatusBadRequest {
			requireObject(t, body)
		}
		if answer.Code == taken && taken < 400 {
			return
		}
		require.Contains(t, []int{http.StatusBadRequest, http.StatusNotFound, taken}, answer.Code)
		var problem struct{ Status int }
		require.NoError(t, json.Unmarshal(answer.Body.Bytes(), &problem))
		require.Equal(t, answer.Code, problem.Status)
	})
}

// posts are the paths that take a body, and the answer where it is taken.
var posts = map[string]int{"": http.StatusConflict, "/resume": http.StatusNoContent, "/restart": http.StatusOK}

// requireObject goes by another reader than the API's.
func requireObject(t *testing.T, body []byte) {
	t.Helper()
	var members map[string]json.RawMessage
	require.NoError(t, json.Unmarshal(body, &members), "%q", body)
	require.NotNil(t, members, "%q", body)
	names := json.NewDecoder(strings.NewReader(string(body)))
	_, err := names.Token()
	require.NoError(t, err)
	for n := 0; names.More(); n++ {
		require.Less(t, n, len(members), "a member is there twice: %q", body)
		var value json.RawMessage
		_, err := names.Token()
		require.NoError(t, err)
		require.NoError(t, names.Decode(&value))
	}
}
