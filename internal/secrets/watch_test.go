package secrets_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/config"
	"awareid-gateway/internal/secrets"
)

func TestWatcherTakesWhatWasToldAndKeepsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		redis := &fakeRedis{}
		w := newWatcher("", redis, "a")
		require.Equal(t, time.Second, w.Look(t.Context()))
		require.Zero(t, w.target.sets)

		redis.until = time.Now().Add(time.Minute)
		require.Less(t, w.Look(t.Context()), time.Second, "more often while a rotation is under way")
		end := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
		n := secrets.Notice{At: time.Now(), Secrets: listOf("n", "a")}
		n.Secrets[1].NotAfter = end
		var err error
		redis.told, err = secrets.Seal(n, webhook, listOf("a", "n"))
		require.NoError(t, err)
		redis.until = time.Time{}
		require.Equal(t, time.Second, w.Look(t.Context()))
		w.requireSecrets(t, reversed(n.Secrets))
		require.Equal(t, []string{"begin", "secrets", "end"}, w.target.steps, "who is held is judged by the new secret")
		require.Contains(t, w.log.String(), "only a rotation told")

		told := redis.told
		redis.told = nil // Redis lost it
		w.Look(t.Context())
		w.requireSecrets(t, reversed(n.Secrets))

		older := secrets.Notice{At: n.At.Add(-time.Second), Secrets: listOf("x")}
		redis.told, err = secrets.Seal(older, webhook, listOf("a"))
		require.NoError(t, err)
		w.Look(t.Context())
		w.requireSecrets(t, reversed(n.Secrets))

		redis.told = told
		time.Sleep(2 * time.Hour) // the old secret has ended
		newer := secrets.Notice{At: time.Now(), Secrets: listOf("x")}
		redis.told, err = secrets.Seal(newer, webhook, listOf("a"))
		require.NoError(t, err)
		w.Look(t.Context())
		w.requireSecrets(t, reversed(n.Secrets)) // it has no say any more
		require.Contains(t, w.log.String(), "opens under no secret that is in force")
		require.Equal(t, 1, w.target.sets)
		require.NotContains(t, w.log.String(), secretOf("n").Reveal())
	})
}

func TestWatcherDropsWhatWasToldAndHasEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		redis := &fakeRedis{}
		w := newWatcher("", redis, "a")
		n := secrets.Notice{At: time.Now(), Secrets: listOf("n", "b", "a")}
		n.Secrets[1].NotAfter = time.Now().Add(time.Hour)
		var err error
		redis.told, err = secrets.Seal(n, webhook, listOf("a"))
		require.NoError(t, err)
		w.Look(t.Context())
		w.requireSecrets(t, []config.WebhookSecret{n.Secrets[2], n.Secrets[0], n.Secrets[1]})
		time.Sleep(time.Hour)
		w.Look(t.Context())
		w.requireSecrets(t, listOf("a", "n"))
		require.Equal(t, 2, w.target.sets)
	})
}

func TestWatcherWithoutRedis(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		redis := &fakeRedis{until: time.Now().Add(time.Hour)}
		w := newWatcher("", redis, "a")
		w.Look(t.Context())
		redis.away = true
		time.Sleep(secrets.MarkTTL - time.Second)
		w.Look(t.Context())
		_, rotating := w.target.read()
		require.True(t, rotating, "a mark stays for as long as it would by itself")
		time.Sleep(time.Second)
		w.Look(t.Context())
		w.Look(t.Context())
		_, rotating = w.target.read()
		require.False(t, rotating)
		require.Equal(t, 1, strings.Count(w.log.String(), "Redis does not answer"))
		w.requireSecrets(t, listOf("a"))
	})
}

func TestWatcherReadsTheFileAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secrets")
	write := func(content string) { require.NoError(t, os.WriteFile(path, []byte(content), 0o600)) }
	write(secretOf("a").Reveal() + "\n")
	w := newWatcher(path, nil, "a")
	w.Look(t.Context())
	require.Zero(t, w.target.sets)

	write(secretOf("n").Reveal() + "," + secretOf("a").Reveal())
	w.Look(t.Context())
	w.requireSecrets(t, listOf("n", "a"))

	write("canary," + secretOf("n").Reveal())
	for range 3 {
		w.Look(t.Context())
	}
	require.NoError(t, os.Remove(path))
	w.Look(t.Context())
	w.requireSecrets(t, listOf("n", "a"))
	require.Equal(t, 1, strings.Count(w.log.String(), "level=ERROR"), w.log.String())
	require.NotContains(t, w.log.String(), "canary")

	w.target.refuse = errors.New("refused")
	write(secretOf("z").Reveal())
	for range 3 {
		w.Look(t.Context())
	}
	w.requireSecrets(t, listOf("n", "a"))
	require.Equal(t, 2, strings.Count(w.log.String(), "level=ERROR"), w.log.String())
	w.target.refuse = nil
	write(secretOf("y").Reveal())
	w.Look(t.Context())
	w.requireSecrets(t, listOf("y"))
}

// TestWatcherIsNotKeptBackByWhatWasTold: where that cannot be used, what is configured
// comes into force, and what was told before stays.
func TestWatcherIsNotKeptBackByWhatWasTold(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secrets")
	write := func(letters ...string) {
		require.NoError(t, secrets.FileBoard{Path: path}.Write(listOf(letters...)))
	}
	write("a")
	redis := &fakeRedis{}
	w := newWatcher(path, redis, "a")
	tell := func(at time.Time, letters ...string) {
		sealed, err := secrets.Seal(secrets.Notice{At: at, Secrets: listOf(letters...)}, webhook, listOf("a"))
		require.NoError(t, err)
		redis.told = sealed
		for range 3 {
			w.Look(t.Context())
		}
	}
	w.target.refuses = secretOf("x")
	tell(noon, "x", "a")
	w.requireSecrets(t, listOf("a"))
	write("b", "a")
	w.Look(t.Context())
	w.requireSecrets(t, listOf("b", "a"))

	tell(noon.Add(time.Second), "n", "a")
	w.requireSecrets(t, listOf("b", "a", "n"))
	tell(noon.Add(time.Minute), "x", "a")
	w.requireSecrets(t, listOf("b", "a", "n"))
	write("c", "a")
	w.Look(t.Context())
	w.requireSecrets(t, listOf("c", "a", "n"))
	require.Equal(t, 4, strings.Count(w.log.String(), "level=ERROR"), w.log.String())
}

func TestWatcherSeesTheMarkBesideTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secrets")
	b := secrets.FileBoard{Path: path}
	require.NoError(t, b.Tell(t.Context(), secrets.Notice{Secrets: listOf("a")}, nil))
	w := newWatcher(path, nil, "a")
	ok, err := b.Mark(t.Context(), "me", time.Minute)
	require.NoError(t, err)
	require.True(t, ok)
	require.Less(t, w.Look(t.Context()), time.Second)
	require.NoError(t, b.Tell(t.Context(), newNotice(), nil))
	require.NoError(t, b.Unmark(t.Context(), "me"))
	w.Look(t.Context())
	require.Equal(t, []string{"begin", "secrets", "end"}, w.target.steps)
	w.requireSecrets(t, newNotice().Secrets)
}
