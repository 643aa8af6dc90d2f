package main

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/event"
	"awareid-gateway/internal/privacy"
	"awareid-gateway/internal/simulator"
)

const anyHashKey = "PRIVACY_HASH_KEY=AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"

// privacyEnviron drops the user's name and a note, and hashes the operation token,
// whose name a log is not to hold.
var privacyEnviron = []string{
	"PRIVACY_DROP=$.username, $..note", `PRIVACY_HASH=$['operation\u0054oken']`, anyHashKey, anyQuarantineKey,
}

const (
	privacyDone   = `drop=$.username,$..note;hash=$['operation\u0054oken']`
	noteOfSamples = "<&>"
)

// redacted is a sample under privacyEnviron, by cutting its text.
func redacted(t *testing.T, e sample, hash string) string {
	t.Helper()
	text := string(e.body)
	for _, cut := range []string{fmt.Sprintf(` ,"username":%q`, username), `,"note":"<&>\u00e9\/ 😀"`} {
		require.Contains(t, text, cut)
		text = strings.Replace(text, cut, "", 1)
	}
	return strings.Replace(text, `"`+e.operation+`"`, `"`+hash+`"`, 1)
}

func requireRedacted(t *testing.T, text string, samples ...sample) {
	t.Helper()
	private := []string{username, noteOfSamples, "jürgen", `rgen.m`}
	for _, e := range samples {
		private = append(private, e.operation)
	}
	for _, word := range private {
		require.NotContains(t, text, word)
	}
}

// TestPrivacy looks for what is dropped and hashed wherever something is kept: in each
// part of each record, in Redis, in the log and in the metrics.
func TestPrivacy(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	redis := miniredis.RunT(t)
	environ := append([]string{"REDIS_URL=redis://" + redis.Addr()}, privacyEnviron...)
	g := s.serve(t, environ...)
	public, private := wrappingKey(t)

	operation := "canary-operation"
	called, again := sampleOf("enrollment.started", operation), sampleOf("enrollment.completed", operation)
	for _, e := range []sample{called, again} {
		requireAnswer(t, http.StatusOK, "accepted", e.id, g.send(t, e))
	}
	requireAnswer(t, http.StatusOK, "duplicate", called.id, g.send(t, called))
	stale := sampleAt("enrollment.started", operation, time.Now().Add(-200*time.Hour))
	sealed := sampleOf("enrollment.face.check", operation)
	g.quarantined(t, simulator.Scheme{Secret: s.hook.Secret, Cipher: "none"}, stale)
	g.quarantined(t, simulator.Scheme{Secret: s.hook.Secret, PublicKey: public}, sealed)

	mended := s.environ(append(environ, private)...)
	entries := s.list(t, mended)
	require.Len(t, entries, 2)
	shown := s.runQuarantine(t, mended, "show", "--body", "--json", entryFor(t, entries, "stale").Position)
	var body struct {
		Body     []byte
		Redacted privacy.Done
	}
	require.NoError(t, json.Unmarshal([]byte(shown.out), &body))
	requireRedacted(t, string(body.Body), stale)
	require.EqualValues(t, privacyDone, body.Redacted)
	requireResults(t, s.replayed(t, exitOK, mended, "--all"), "accepted", "accepted")
	requireResults(t, s.replayed(t, exitOK, mended, "--all"), "duplicate", "duplicate")

	records := s.records(t, s.topic(event.Enrollment))
	hash := byID(t, records, called).Key
	require.True(t, privacy.IsHash(hash))
	samples := []sample{called, again, stale, sealed}
	require.Len(t, records, len(samples))
	for _, e := range samples {
		r := byID(t, records, e)
		require.Equal(t, redacted(t, e, hash), string(r.Value))
		require.Equal(t, []string{hash, hash, privacyDone}, []string{r.Key, r.Header("ce_subject"), r.Header("gateway-privacy")})
	}
	require.Contains(t, redis.Dump(), called.id)
	for _, kept := range []string{fmt.Sprint(s.records(t)), redis.Dump(), g.err.String(), g.get("/metrics").body} {
		requireRedacted(t, kept, samples...)
	}
}

// TestPrivacyOfWhatDoesNotOpen: JSON that is no envelope, though it may look like the
// beginning of one, is redacted; an envelope that no key opens is kept as it came.
func TestPrivacyOfWhatDoesNotOpen(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	environ := []string{"PRIVACY_DROP=$..username,$.iv", anyQuarantineKey}
	g := s.serve(t, environ...)
	want := map[string]privacy.Done{}
	for _, test := range []struct {
		body, kept string
		done       privacy.Done
	}{
		{`[{"username":"a"}]`, `[{}]`, "drop=$..username"},
		{`{"iv":"a","p":{"username":"a"}}`, `{"p":{}}`, "drop=$..username,$.iv"},
		{`{"iv":"a","p":"b","key":{"username":"a"}}`, `{"p":"b","key":{}}`, "drop=$..username,$.iv"},
		{`{"iv":["a"],"p":"b"}`, `{"p":"b"}`, "drop=$.iv"},
		{`{"iv":"a","p":"b"}`, `{"iv":"a","p":"b"}`, ""},
		{`{"iv":"a","p":"b","key":"c"}`, `{"iv":"a","p":"b","key":"c"}`, ""},
		{`[{"username":"a"}`, `[{"username":"a"}`, ""},
	} {
		g.quarantined(t, simulator.Scheme{Secret: s.hook.Secret, Cipher: "none"}, sample{body: []byte(test.body)})
		want[test.kept] = test.done
	}
	got := map[string]privacy.Done{}
	for _, e := range s.list(t, s.environ(environ...)) {
		require.Equal(t, "undecryptable", e.Reason)
		shown := s.runQuarantine(t, s.environ(environ...), "show", "--body", "--json", e.Position)
		var kept struct {
			Body     []byte
			Redacted privacy.Done
		}
		require.NoError(t, json.Unmarshal([]byte(shown.out), &kept))
		got[string(kept.Body)] = kept.Redacted
	}
	require.Equal(t, want, got)
}

// filesIn is what lies in a folder and below.
func filesIn(t *testing.T, dir string) string {
	t.Helper()
	var all strings.Builder
	require.NoError(t, fs.WalkDir(os.DirFS(dir), ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(filepath.Join(dir, path))
		all.Write(content)
		return err
	}))
	return all.String()
}

func entryFor(t *testing.T, entries []entry, reason string) entry {
	t.Helper()
	for _, e := range entries {
		if e.Reason == reason {
			return e
		}
	}
	require.FailNow(t, "no entry for "+reason)
	return entry{}
}

// TestPrivacyInTheSpool: an event that waits for Redis on disk has been redacted.
func TestPrivacyInTheSpool(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	redis := miniredis.RunT(t)
	dir := t.TempDir()
	g := s.serve(t, append([]string{"REDIS_URL=redis://" + redis.Addr(), "SPOOL_DIR=" + dir}, privacyEnviron...)...)
	redis.SetError("LOADING Redis is loading the dataset in memory")
	e := sampleOf("enrollment.started", "canary-operation")
	requireAnswer(t, http.StatusAccepted, "spooled", e.id, g.send(t, e))
	onDisk := filesIn(t, dir)
	require.Contains(t, onDisk, e.id)
	requireRedacted(t, onDisk, e)
	redis.SetError("")
	var records []simulator.Record
	require.Eventually(t, func() bool {
		records = s.records(t, s.topic(event.Enrollment))
		return len(records) == 1
	}, patience, 50*time.Millisecond)
	require.Equal(t, redacted(t, e, records[0].Key), string(records[0].Value))
}

// TestPrivacyIsChecked at the start, with all that is wrong in one message.
func TestPrivacyIsChecked(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	r := runToEnd(t, s.environ("PRIVACY_DROP=$.username,$.id", "PRIVACY_HASH=$.data[-1]"), "serve")
	require.Equal(t, exitUsage, r.code)
	for _, says := range []string{`PRIVACY_DROP: "$.id" matches $.id`, `PRIVACY_HASH: "$.data[-1]"`, "QUARANTINE_KEY: required with PRIVACY_DROP"} {
		require.Contains(t, r.err, says)
	}
	r = runToEnd(t, s.environ("PRIVACY_HASHES=$.username"), "serve")
	require.Equal(t, exitUsage, r.code)
	require.Contains(t, r.err, "PRIVACY_HASHES: unknown; did you mean PRIVACY_HASH?")
}
