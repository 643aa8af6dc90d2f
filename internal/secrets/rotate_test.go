package secrets_test

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/awareid"
	"awareid-gateway/internal/config"
	"awareid-gateway/internal/secrets"
)

func newRotator(p *platform, redis *fakeRedis, known ...string) *secrets.Rotator {
	return &secrets.Rotator{
		Platform: p, Boards: []secrets.Board{secrets.RedisBoard{Store: redis, Webhook: webhook, Keep: time.Hour}},
		Webhook: webhook, Form: config.FormAuto, Known: listOf(known...), KeepOld: 24 * time.Hour, Progress: func(string) {},
	}
}

func TestRotate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, redis := &platform{secret: secretOf("a")}, &fakeRedis{}
		w := newWatcher("", redis, "a", "b")
		ctx, stop := context.WithCancel(t.Context())
		go w.Run(ctx)
		p.onRotate = func() {
			_, rotating := w.target.read()
			require.True(t, rotating, "replicas know before the platform is asked")
		}
		got, err := newRotator(p, redis, "a", "b").Rotate(t.Context())
		require.NoError(t, err)
		end := time.Now().Add(24 * time.Hour).UTC().Truncate(time.Second)
		all := listOf("n", "a", "b")
		want := []config.WebhookSecret{all[0], ended(end, all[1]), ended(end, all[2])}
		require.Equal(t, secrets.Rotated{Secrets: want}, got)
		require.False(t, redis.marked())

		time.Sleep(2 * time.Second)
		stop()
		synctest.Wait()
		w.requireSecrets(t, []config.WebhookSecret{want[1], want[2], want[0]})
		require.Equal(t, []string{"begin", "secrets", "end"}, w.target.steps)

		late := newWatcher("", redis, "a") // with the configuration of before
		late.Look(t.Context())
		late.requireSecrets(t, []config.WebhookSecret{want[1], want[0], want[2]})
	})
}

// TestRotateTwice: a replica that was away for both learns the latest from a secret
// that it has.
func TestRotateTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, redis := &platform{secret: secretOf("a")}, &fakeRedis{}
		first, err := newRotator(p, redis, "a").Rotate(t.Context())
		require.NoError(t, err)
		again := newRotator(p, redis)
		again.Known = first.Secrets
		told, err := secrets.RedisBoard{Store: redis, Webhook: webhook}.Told(t.Context(), listOf("a"))
		require.NoError(t, err)
		again.Told = told.At.Add(time.Hour) // by a clock that was ahead
		got, err := again.Rotate(t.Context())
		require.NoError(t, err)
		require.Equal(t, secretOf("o"), got.Secrets[0].Value)
		require.Len(t, got.Secrets, 3)
		late := newWatcher("", redis, "a")
		late.Look(t.Context())
		now, _ := late.target.read()
		require.Len(t, now, 3)
		told, err = secrets.RedisBoard{Store: redis, Webhook: webhook}.Told(t.Context(), listOf("o"))
		require.NoError(t, err, "it opens under the new secret too")
		require.True(t, told.At.After(again.Told))
	})
}

// TestRotateForYears: a secret that has ended and is not configured any more stays
// away.
func TestRotateForYears(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, redis := &platform{secret: secretOf("a")}, &fakeRedis{}
		board := secrets.RedisBoard{Store: redis, Webhook: webhook}
		configured := listOf("a")
		for range 40 {
			told, err := board.Told(t.Context(), configured)
			require.NoError(t, err)
			r := newRotator(p, redis)
			r.Known, r.Told = secrets.InForce(configured, told.Secrets, time.Now()), told.At
			got, err := r.Rotate(t.Context())
			require.NoError(t, err)
			require.Len(t, got.Secrets, 2)
			configured = got.Secrets[:1]
			time.Sleep(25 * time.Hour)
		}
	})
}

// TestRotateAgainAfterACrash: the run before ended between the platform and the
// boards, and left its mark.
func TestRotateAgainAfterACrash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &platform{secret: secretOf("n")}
		redis := &fakeRedis{who: "the one that crashed", until: time.Now().Add(secrets.MarkTTL)}
		got, err := newRotator(p, redis, "a").Rotate(t.Context())
		require.NoError(t, err)
		require.True(t, got.Resumed)
		require.Equal(t, secretOf("n"), got.Secrets[0].Value)
		require.Zero(t, p.asked, "the platform was not asked for another secret")
		w := newWatcher("", redis, "a")
		w.Look(t.Context())
		now, _ := w.target.read()
		require.Equal(t, secretOf("n"), now[1].Value)
	})
}

func TestRotateWhileAnotherDoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, redis := &platform{secret: secretOf("a")}, &fakeRedis{who: "another", until: time.Now().Add(time.Hour)}
		_, err := newRotator(p, redis, "a").Rotate(t.Context())
		require.ErrorIs(t, err, secrets.ErrBusy)
		require.Zero(t, p.asked)
		require.True(t, redis.marked(), "the mark is the other's")
	})
}

// TestRotateThatCannotTell hands the secret to the caller, and goes on trying for a
// while even if he has gone.
func TestRotateThatCannotTell(t *testing.T) {
	for name, back := range map[string]bool{"for good": false, "for a while": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, redis := &platform{secret: secretOf("a")}, &fakeRedis{}
				ctx, cancel := context.WithCancel(t.Context())
				p.onRotate = func() {
					cancel()
					redis.set(func(f *fakeRedis) { f.mute = true })
				}
				if back {
					time.AfterFunc(20*time.Second, func() {
						if !redis.marked() {
							t.Error("the mark is not kept up, and nobody is held any more")
						}
						redis.set(func(f *fakeRedis) { f.mute = false })
					})
				}
				got, err := newRotator(p, redis, "a").Rotate(ctx)
				require.Equal(t, secretOf("n"), got.Secrets[0].Value)
				if back {
					require.NoError(t, err)
					require.NotNil(t, redis.told)
					return
				}
				require.ErrorIs(t, err, secrets.ErrUntold)
				require.ErrorIs(t, err, errAway)
			})
		})
	}
}

// TestRotateToNoSecret: what could not be read back is neither told nor written, also
// when it is run again.
func TestRotateToNoSecret(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, redis := &platform{secret: secretOf("a"), chooses: "canary,canary@canary"}, &fakeRedis{}
		r := newRotator(p, redis, "a")
		path := filepath.Join(t.TempDir(), "secrets")
		r.Boards = append(r.Boards, secrets.FileBoard{Path: path})
		for range 2 {
			got, err := r.Rotate(t.Context())
			require.ErrorIs(t, err, secrets.ErrUnusable)
			require.NotContains(t, err.Error(), "canary")
			require.Zero(t, got)
			require.Nil(t, redis.told)
			require.NoFileExists(t, path)
			require.False(t, redis.marked())
		}
		require.Equal(t, 1, p.asked)
	})
}

// TestRotateToTheEnd: once the platform is asked its answer is told, though whoever
// asked has gone; before that, nobody asks.
func TestRotateToTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, redis := &platform{secret: secretOf("a")}, &fakeRedis{}
		ctx, cancel := context.WithCancel(t.Context())
		p.onRotate = cancel
		got, err := newRotator(p, redis, "a").Rotate(ctx)
		require.NoError(t, err)
		require.Equal(t, secretOf("n"), got.Secrets[0].Value)
		require.NotNil(t, redis.told)

		_, err = newRotator(p, redis, "n").Rotate(ctx)
		require.ErrorIs(t, err, context.Canceled)
		require.Equal(t, 1, p.asked)
	})
}

func TestRotateThatThePlatformRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, fail := range []error{awareid.ErrUnauthorized, awareid.ErrOutcomeUnknown} {
			p, redis := &platform{secret: secretOf("a"), untold: true, fail: fail}, &fakeRedis{}
			got, err := newRotator(p, redis, "a").Rotate(t.Context())
			require.ErrorIs(t, err, fail)
			require.Zero(t, got)
			require.Nil(t, redis.told)
			require.False(t, redis.marked())
		}
	})
}

func TestRotateChangesNothingWithoutItsBoards(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, redis := &platform{secret: secretOf("a")}, &fakeRedis{away: true}
		_, err := newRotator(p, redis, "a").Rotate(t.Context())
		require.ErrorIs(t, err, errAway)

		ctx, cancel := context.WithCancel(t.Context())
		r := newRotator(p, &fakeRedis{}, "a")
		r.Progress = func(string) { time.AfterFunc(time.Second, cancel) }
		_, err = r.Rotate(ctx)
		require.ErrorIs(t, err, context.Canceled)

		r = newRotator(p, &fakeRedis{})
		r.Known = make([]config.WebhookSecret, 32)
		_, err = r.Rotate(t.Context())
		require.ErrorContains(t, err, "more than 31 secrets")
		require.Zero(t, p.asked)
		require.False(t, errors.Is(err, secrets.ErrUntold))
	})
}
