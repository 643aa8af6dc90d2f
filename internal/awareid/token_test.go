package awareid_test

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/awareid"
	"awareid-gateway/internal/simulator"
)

func tokenTTL(ttl time.Duration) func(*awareid.Options, *simulator.PlatformOptions) {
	return func(_ *awareid.Options, o *simulator.PlatformOptions) { o.TokenTTL = ttl }
}

// call lists the webhooks.
func (w *world) call() error { return second(w.client.Webhooks(w.t.Context())) }

func TestTheTokenIsKeptAndRenewedBeforeItsEnd(t *testing.T) {
	for _, tt := range []struct{ ttl, renewed time.Duration }{
		{5 * time.Minute, 4*time.Minute + 30*time.Second},
		{10 * time.Second, 8 * time.Second},
	} {
		inWorld(t, tokenTTL(tt.ttl), func(t *testing.T, w *world) {
			began := time.Now()
			for time.Since(began) < 2*tt.ttl {
				require.NoError(t, w.call())
				time.Sleep(tt.ttl / 100)
			}
			bought := w.calls(tokenPath)
			require.Len(t, bought, 3)
			require.GreaterOrEqual(t, bought[1].at.Sub(bought[0].at), tt.renewed)
			require.Less(t, bought[1].at.Sub(bought[0].at), tt.ttl)
			require.Zero(t, w.count("list_webhooks", "unauthorized"), "no call met an expired token")
		})
	}
}

func TestATokenWithoutAnEnd(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		answer := func(out http.ResponseWriter, r *http.Request, platform http.Handler) {
			out.Header().Set("Content-Type", "application/json")
			_, _ = out.Write([]byte(`{"access_token":"endless","token_type":"bearer"}`))
		}
		w.faults.On(tokenPath, answer, answer)
		w.faults.On(registrations, listNothing, listNothing, listNothing)
		require.NoError(t, w.call())
		time.Sleep(40 * time.Second)
		require.NoError(t, w.call())
		require.Len(t, w.calls(tokenPath), 1)
		time.Sleep(20 * time.Second)
		require.NoError(t, w.call())
		require.Len(t, w.calls(tokenPath), 2)
	})
}

var listNothing = simulator.Reply("application/json", `{"list":[]}`)

// A token with no time left serves the call that it was bought for.
func TestATokenThatIsOverAtOnce(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		w.faults.On(tokenPath, simulator.Reply("application/json", `{"access_token":"x","token_type":"Bearer","expires_in":-5}`))
		w.faults.On(registrations, listNothing)
		require.NoError(t, w.call())
		require.NoError(t, w.call())
		require.Len(t, w.calls(tokenPath), 2)
	})
}

func TestARevokedTokenIsReplacedOnce(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		require.NoError(t, w.call())
		w.platform.ExpireTokens()
		require.NoError(t, w.call())
		require.Len(t, w.calls(tokenPath), 2)
		calls := w.calls(registrations)
		require.Len(t, calls, 3)
		require.Equal(t, calls[0].token, calls[1].token)
		require.NotEqual(t, calls[1].token, calls[2].token)
		require.Zero(t, calls[2].at.Sub(calls[1].at), "there is nothing to wait for")
	})
}

// A registration that met a 401 was not done, so it is sent again.
func TestRegisterAfterARevokedToken(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		require.NoError(t, w.call())
		w.platform.ExpireTokens()
		_, err := w.client.Register(t.Context(), registration())
		require.NoError(t, err)
	})
}

func TestAKeyThatIsNotTaken(t *testing.T) {
	inWorld(t, func(o *awareid.Options, _ *simulator.PlatformOptions) { o.APIKey = "another-key-3d2e" }, func(t *testing.T, w *world) {
		err := w.call()
		require.ErrorIs(t, err, awareid.ErrUnauthorized)
		require.Equal(t, "UNAUTHORIZED", refusalOf(t, err).Code)
		require.Len(t, w.calls(registrations), 2)
		require.Len(t, w.calls(tokenPath), 2)
		require.Equal(t, 2, w.count("list_webhooks", "unauthorized"))
	})
}

func TestCredentialsThatAreNotTaken(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*awareid.Options, *simulator.PlatformOptions)
		status int
		code   string
	}{
		"secret":   {func(o *awareid.Options, _ *simulator.PlatformOptions) { o.ClientSecret = "wrong-secret-0f" }, 401, "invalid_client"},
		"client":   {func(o *awareid.Options, _ *simulator.PlatformOptions) { o.ClientID = "nobody" }, 401, "invalid_client"},
		"customer": {func(o *awareid.Options, _ *simulator.PlatformOptions) { o.Customer = "nobody" }, 404, ""},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, tt.change, func(t *testing.T, w *world) {
				_, err := w.client.Webhook(t.Context(), "w")
				require.ErrorIs(t, err, awareid.ErrUnauthorized)
				require.NotErrorIs(t, err, awareid.ErrNotFound, "not the webhook is unknown")
				refused := refusalOf(t, err)
				require.Equal(t, tt.status, refused.Status)
				require.Equal(t, tt.code, refused.Code)
				require.Len(t, w.seen, 1)
				require.Equal(t, 1, w.count("get_token", "unauthorized"))
			})
		})
	}
}

func TestTokenAnswersThatAreNone(t *testing.T) {
	for name, body := range map[string]string{
		"HTML":          `<html>maintenance</html>`,
		"empty":         ``,
		"no token":      `{"expires_in":300}`,
		"lines":         `{"access_token":"a\r\nX-Other: b","token_type":"Bearer"}`,
		"another kind":  `{"access_token":"a","token_type":"mac"}`,
		"too much":      `{"access_token":"` + string(make([]byte, 2<<20)) + `"}`,
		"a long token":  fmt.Sprintf(`{"access_token":"%0100000d","token_type":"Bearer"}`, 0),
		"odd lifetimes": `{"access_token":"a","token_type":"Bearer","expires_in":"soon"}`,
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, nil, func(t *testing.T, w *world) {
				w.faults.On(tokenPath, simulator.Reply("application/json", body))
				err := w.call()
				require.ErrorIs(t, err, awareid.ErrMalformed)
				require.NotContains(t, err.Error(), "X-Other")
				require.Len(t, w.seen, 1)
				require.Equal(t, 1, w.count("get_token", "malformed"))
			})
		})
	}
}

// The token is got with the same patience as everything else.
func TestTheTokenIsAskedForAgain(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		w.faults.On(tokenPath, simulator.Refuse(503, ""), simulator.Refuse(429, "7"), simulator.Break)
		require.NoError(t, w.call())
		bought := w.calls(tokenPath)
		require.Len(t, bought, 4)
		require.InDelta(t, 8*time.Second, bought[2].at.Sub(bought[1].at), float64(time.Second))
	})
	inWorld(t, nil, func(t *testing.T, w *world) {
		for range awareid.DefaultAttempts {
			w.faults.On(tokenPath, simulator.Refuse(429, ""))
		}
		err := w.call()
		require.ErrorIs(t, err, awareid.ErrThrottled)
		require.NotErrorIs(t, err, awareid.ErrUnauthorized)
		require.Len(t, w.seen, awareid.DefaultAttempts, "what failed is not repeated by the call once more")
	})
}

// While no new token can be had, the old one serves to its end.
func TestATokenServesToItsEnd(t *testing.T) {
	inWorld(t, tokenTTL(5*time.Minute), func(t *testing.T, w *world) {
		require.NoError(t, w.call())
		time.Sleep(4*time.Minute + 31*time.Second)
		for range awareid.DefaultAttempts {
			w.faults.On(tokenPath, simulator.Refuse(503, ""))
		}
		require.NoError(t, w.call())
		require.Len(t, w.calls(tokenPath), 1+awareid.DefaultAttempts)
	})
}

func TestOneRenewalAtATime(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		w.faults.On(tokenPath, slowly, slowly)
		for range 2 {
			var all sync.WaitGroup
			for range 50 {
				all.Go(func() {
					if err := w.call(); err != nil {
						t.Error(err)
					}
				})
			}
			all.Wait()
			w.platform.ExpireTokens()
		}
		require.Len(t, w.calls(tokenPath), 2, "one at the start, one after all were told 401")
	})
}

// slowly answers after a second.
func slowly(w http.ResponseWriter, r *http.Request, platform http.Handler) {
	time.Sleep(time.Second)
	platform.ServeHTTP(w, r)
}

// One who leaves while the token is renewed takes nothing from the others.
func TestARenewalOutlivesItsCaller(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		w.faults.On(tokenPath, slowly)
		ctx, cancel := context.WithCancel(t.Context())
		first := make(chan error, 1)
		go func() { first <- second(w.client.Webhooks(ctx)) }()
		synctest.Wait()
		other := make(chan error, 1)
		go func() { other <- w.call() }()
		synctest.Wait()
		cancel()
		require.ErrorIs(t, <-first, context.Canceled)
		require.NoError(t, <-other)
		require.Len(t, w.calls(tokenPath), 1)
	})
}
