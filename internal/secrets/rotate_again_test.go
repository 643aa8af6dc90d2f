package secrets_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/config"
	"awareid-gateway/internal/secrets"
)

// muted is a board on which, for a while, nothing can be told.
type muted struct {
	secrets.Board
	mute  bool
	hangs int // so many times it does not answer at all
}

func (m *muted) Tell(ctx context.Context, n secrets.Notice, under []config.WebhookSecret) error {
	if m.hangs > 0 {
		m.hangs--
		<-ctx.Done()
		return ctx.Err()
	}
	if m.mute {
		return errAway
	}
	return m.Board.Tell(ctx, n, under)
}

// TestRotateAgainAfterATellingInPart: whichever board was not told, the same secret is
// told there, at once; only then another is asked for.
func TestRotateAgainAfterATellingInPart(t *testing.T) {
	for name, which := range map[string]int{"Redis": 0, "the file": 1} {
		for _, keepOld := range []time.Duration{24 * time.Hour, 0} {
			t.Run("not to "+name+" "+keepOld.String(), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { tellInPart(t, which, keepOld) })
			})
		}
	}
}

func tellInPart(t *testing.T, untold int, keepOld time.Duration) {
	path := filepath.Join(t.TempDir(), "secrets")
	file := secrets.FileBoard{Path: path}
	require.NoError(t, file.Write(listOf("a")))
	p, redis := &platform{secret: secretOf("a")}, &fakeRedis{}
	notice := secrets.RedisBoard{Store: redis, Webhook: webhook, Keep: time.Hour}
	boards := []*muted{{Board: notice}, {Board: file}}
	read := func() (onFile []config.WebhookSecret, inRedis secrets.Notice) {
		onFile, err := config.ReadSecretsFile(path, config.FormAuto)
		require.NoError(t, err)
		inRedis, err = notice.Told(t.Context(), listOf("a", "n"))
		require.NoError(t, err)
		return onFile, inRedis
	}
	run := func() (secrets.Rotated, error) {
		onFile, inRedis := read()
		r := newRotator(p, redis)
		r.Boards, r.KeepOld = []secrets.Board{boards[0], boards[1]}, keepOld
		r.Known, r.Told = secrets.InForce(onFile, inRedis.Secrets, time.Now()), inRedis.At
		return r.Rotate(t.Context())
	}
	boards[untold].mute = true
	_, err := run()
	require.ErrorIs(t, err, secrets.ErrUntold)
	boards[untold].mute = false

	began := time.Now()
	got, err := run()
	require.NoError(t, err)
	require.True(t, got.Resumed)
	require.Equal(t, secretOf("n"), got.Secrets[0].Value)
	require.Less(t, time.Since(began), secrets.Settle, "who is held waits for it")
	require.Equal(t, 1, p.asked)
	onFile, inRedis := read()
	require.Equal(t, secretOf("n"), onFile[0].Value)
	require.Equal(t, secretOf("n"), inRedis.Secrets[0].Value)

	got, err = run()
	require.NoError(t, err)
	require.False(t, got.Resumed)
	require.Equal(t, 2, p.asked)
}

// TestABoardThatHangsHoldsUpNone: the others are told at once, and it is tried again
// soon.
func TestABoardThatHangsHoldsUpNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, slow, fast := &platform{secret: secretOf("a")}, &fakeRedis{}, &fakeRedis{}
		r := newRotator(p, fast, "a")
		r.Boards = append([]secrets.Board{&muted{Board: secrets.RedisBoard{Store: slow, Webhook: webhook}, hangs: 2}}, r.Boards...)
		var asked time.Time
		p.onRotate = func() {
			asked = time.Now()
			time.AfterFunc(time.Millisecond, func() {
				fast.set(func(f *fakeRedis) {
					if f.told == nil {
						t.Error("it waits for the one that hangs")
					}
				})
			})
		}
		_, err := r.Rotate(t.Context())
		require.NoError(t, err)
		require.NotNil(t, slow.told)
		require.Less(t, time.Since(asked), 4*time.Second)
	})
}

// TestRotateAfterTheMarkWasLost: another may have begun while this one was suspended,
// so the platform is not asked.
func TestRotateAfterTheMarkWasLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, redis := &platform{secret: secretOf("a")}, &fakeRedis{}
		time.AfterFunc(secrets.Settle-time.Millisecond, func() {
			redis.set(func(f *fakeRedis) { f.who, f.until = "another", time.Now().Add(time.Hour) })
		})
		_, err := newRotator(p, redis, "a").Rotate(t.Context())
		require.ErrorIs(t, err, secrets.ErrBusy)
		require.Zero(t, p.asked)
		require.True(t, redis.marked(), "the mark is the other's")
	})
}

// TestLacks: what is still to be told where there is nothing at all goes by the ends
// that a rotation leaves.
func TestLacks(t *testing.T) {
	now := time.Now()
	board := secrets.RedisBoard{Store: &fakeRedis{}, Webhook: webhook, Keep: time.Hour}
	missing := secrets.FileBoard{Path: filepath.Join(t.TempDir(), "secrets")}
	foreign := secrets.RedisBoard{Store: &fakeRedis{told: sealed(t, "x")}, Webhook: webhook}
	broken := secrets.FileBoard{Path: filepath.Join(t.TempDir(), "secrets")}
	require.NoError(t, os.WriteFile(broken.Path, []byte("canary"), 0o600))
	n, a := listOf("n")[0], listOf("a")[0]
	for name, tc := range map[string]struct {
		board secrets.Board
		known []config.WebhookSecret
		want  bool
	}{
		"no notice yet":               {board, []config.WebhookSecret{n, a}, false},
		"no notice of late":           {board, []config.WebhookSecret{n, ended(now.Add(time.Hour), a)}, true},
		"none, though just ended":     {board, []config.WebhookSecret{n, ended(now.Add(-time.Minute), a)}, true},
		"a notice that is gone":       {board, []config.WebhookSecret{n, ended(now.Add(-2*time.Hour), a)}, false},
		"a notice that does not open": {foreign, []config.WebhookSecret{n}, true},
		"no file yet":                 {missing, []config.WebhookSecret{n, a}, false},
		"no file of late":             {missing, []config.WebhookSecret{n, ended(now.Add(time.Hour), a)}, true},
		"a file that is none":         {broken, []config.WebhookSecret{n}, true},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := tc.board.Lacks(t.Context(), n, tc.known)
			require.NoError(t, err)
			require.Equal(t, tc.want, got)
		})
	}
	_, err := secrets.RedisBoard{Store: &fakeRedis{away: true}, Webhook: webhook}.Lacks(t.Context(), n, listOf("n"))
	require.ErrorIs(t, err, errAway)
}
