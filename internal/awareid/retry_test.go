package awareid_test

import (
	"context"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/awareid"
	"awareid-gateway/internal/simulator"
)

func TestRepeatedUntilItIsAnswered(t *testing.T) {
	for name, fault := range map[string]simulator.Fault{
		"429":                     simulator.Refuse(429, ""),
		"500":                     simulator.Refuse(500, ""),
		"502 after it was done":   simulator.FailAfter(502),
		"503":                     simulator.Refuse(503, ""),
		"a closed connection":     simulator.Cut,
		"no answer":               simulator.Lose,
		"half an answer":          simulator.Break,
		"a platform that hangs":   simulator.Hang,
		"an answer without haste": simulator.Drip(time.Second),
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, nil, func(t *testing.T, w *world) {
				hook := w.hook()
				w.faults.On(registrations, fault, fault, fault)
				got, err := w.client.Webhook(t.Context(), hook.ID)
				require.NoError(t, err)
				require.Equal(t, hook.Secret, got.Secret.Reveal())
				require.Len(t, w.calls(registrations), 4)
			})
		})
	}
}

func TestWaitsGrowAndAreJittered(t *testing.T) {
	first := map[time.Duration]bool{}
	for range 10 {
		inWorld(t, nil, func(t *testing.T, w *world) {
			w.faults.On(registrations, simulator.Refuse(503, ""), simulator.Refuse(503, ""), simulator.Refuse(503, ""))
			_, err := w.client.Webhooks(t.Context())
			require.NoError(t, err)
			calls := w.calls(registrations)
			for i, full := range []time.Duration{500 * time.Millisecond, time.Second, 2 * time.Second} {
				waited := calls[i+1].at.Sub(calls[i].at)
				require.GreaterOrEqual(t, waited, full/2)
				require.LessOrEqual(t, waited, full)
			}
			first[calls[1].at.Sub(calls[0].at)] = true
		})
	}
	require.Greater(t, len(first), 1, "the waits are all the same")
}

func TestRefusalsAreFinal(t *testing.T) {
	for _, status := range []int{400, 403, 404, 408, 409, 410, 422, 431, 501} {
		inWorld(t, nil, func(t *testing.T, w *world) {
			w.faults.On(registrations, simulator.Refuse(status, ""))
			_, err := w.client.Webhooks(t.Context())
			require.Equal(t, status, refusalOf(t, err).Status)
			require.Len(t, w.calls(registrations), 1, status)
		})
	}
}

func TestTheLastErrorIsTold(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		for range awareid.DefaultAttempts {
			w.faults.On(registrations, simulator.Refuse(503, "1"))
		}
		_, err := w.client.Webhooks(t.Context())
		require.ErrorIs(t, err, awareid.ErrUnavailable)
		refused := refusalOf(t, err)
		require.Equal(t, "SERVICE_UNAVAILABLE", refused.Code)
		require.Equal(t, "A fault of the simulator", refused.Message)
		require.Equal(t, time.Second, refused.RetryAfter)
		require.WithinDuration(t, time.Now(), refused.Timestamp, time.Minute)
		require.EqualError(t, err, `list webhooks: AwareID answered 503 SERVICE_UNAVAILABLE: "A fault of the simulator"`)
		require.Len(t, w.calls(registrations), awareid.DefaultAttempts)
	})
}

func TestRetryAfterIsHonoured(t *testing.T) {
	for name, tt := range map[string]struct {
		status int
		header func() string
		wait   time.Duration
	}{
		"seconds":        {429, func() string { return "7" }, 7 * time.Second},
		"seconds of 503": {503, func() string { return "7" }, 7 * time.Second},
		"a date":         {429, func() string { return time.Now().Add(9 * time.Second).UTC().Format(http.TimeFormat) }, 9 * time.Second},
		"the longest":    {429, func() string { return "30" }, awareid.MaxWait},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, nil, func(t *testing.T, w *world) {
				w.faults.On(registrations, simulator.Refuse(tt.status, tt.header()))
				require.NoError(t, w.call())
				require.Equal(t, 1, w.sum("gateway_awareid_retries_total", map[string]string{"operation": "list_webhooks"}))
				calls := w.calls(registrations)
				waited := calls[1].at.Sub(calls[0].at)
				require.Greater(t, waited, tt.wait, "not a moment earlier, and not all at once")
				require.LessOrEqual(t, waited, tt.wait+500*time.Millisecond)
			})
		})
	}
	t.Run("longer than a call waits", func(t *testing.T) {
		inWorld(t, nil, func(t *testing.T, w *world) {
			w.faults.On(registrations, simulator.Refuse(429, "31"))
			began := time.Now()
			_, err := w.client.Webhooks(t.Context())
			require.ErrorIs(t, err, awareid.ErrThrottled)
			require.Equal(t, 31*time.Second, refusalOf(t, err).RetryAfter)
			require.Zero(t, time.Since(began))
		})
	})
	t.Run("longer than the caller has", func(t *testing.T) {
		inWorld(t, nil, func(t *testing.T, w *world) {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			w.faults.On(registrations, simulator.Refuse(429, "5"))
			began := time.Now()
			_, err := w.client.Webhooks(ctx)
			require.ErrorIs(t, err, awareid.ErrThrottled)
			require.Zero(t, time.Since(began), "the wait would have been in vain")
		})
	})
}

func TestRetryAfterHeader(t *testing.T) {
	noon := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	date := func(d time.Duration) string { return noon.Add(d).Format(http.TimeFormat) }
	for name, tt := range map[string]struct {
		value, date string
		want        time.Duration
	}{
		"none":                    {"", "", 0},
		"zero":                    {"0", "", 0},
		"seconds":                 {" 12 ", "", 12 * time.Second},
		"more than there are":     {"99999999999999999999", "", 1<<63 - 1 - (1<<63-1)%time.Second},
		"negative":                {"-1", "", 0},
		"no number":               {"soon", "", 0},
		"date":                    {date(time.Minute), "", time.Minute},
		"date in the past":        {date(-time.Minute), "", 0},
		"date by their own clock": {date(time.Hour + time.Minute), date(time.Hour), time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			h := http.Header{"Retry-After": {tt.value}, "Date": {tt.date}}
			require.Equal(t, tt.want, awareid.RetryAfter(h, noon))
		})
	}
}

// What must not be done twice is sent again only when it certainly was not done.
func TestRegisterIsNotRepeatedBlindly(t *testing.T) {
	for name, tt := range map[string]struct {
		fault     simulator.Fault
		made      int
		unknown   bool
		unhappily error
	}{
		"429":                    {simulator.Refuse(429, "2"), 1, false, nil},
		"500 before it was done": {simulator.Refuse(500, ""), 0, true, awareid.ErrUnavailable},
		"500 after it was done":  {simulator.FailAfter(500), 1, true, awareid.ErrUnavailable},
		"503":                    {simulator.Refuse(503, "1"), 0, true, awareid.ErrUnavailable},
		"a closed connection":    {simulator.Cut, 0, true, awareid.ErrUnavailable},
		"no answer":              {simulator.Lose, 1, true, awareid.ErrUnavailable},
		"half an answer":         {simulator.Break, 1, true, awareid.ErrUnavailable},
		"no JSON":                {simulator.Reply("text/html", "<html>"), 0, true, awareid.ErrMalformed},
		"no secret":              {simulator.Reply("application/json", `{"webhookId":"w"}`), 0, true, awareid.ErrMalformed},
		"no end":                 {simulator.Flood, 0, true, awareid.ErrMalformed},
		"400":                    {simulator.Refuse(400, ""), 0, false, nil},
		"a refusal with a 200":   {simulator.Reply("application/json", `{"errorCode":"INPUT_FORMAT_ERROR","errorMsg":"Field is missing","status":400}`), 0, false, nil},
		"a redirect":             {simulator.Redirect("/elsewhere"), 0, false, awareid.ErrMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(o *awareid.Options, _ *simulator.PlatformOptions) { o.MaxAnswerBytes = 1 << 20 }, func(t *testing.T, w *world) {
				w.faults.On(registrations, tt.fault)
				_, err := w.client.Register(t.Context(), registration())
				if name == "429" {
					require.NoError(t, err)
				} else {
					require.Error(t, err)
					require.Len(t, w.calls(registrations), 1)
				}
				if tt.unknown {
					require.ErrorIs(t, err, awareid.ErrOutcomeUnknown)
				} else {
					require.NotErrorIs(t, err, awareid.ErrOutcomeUnknown)
				}
				if tt.unhappily != nil {
					require.ErrorIs(t, err, tt.unhappily)
				}
				hooks, err := w.client.Webhooks(t.Context())
				require.NoError(t, err)
				require.Len(t, hooks, tt.made)
			})
		})
	}
}

func TestRotationWhoseAnswerIsLost(t *testing.T) {
	for name, tt := range map[string]struct {
		faults []simulator.Fault
		done   bool
	}{
		"done, no answer":                {[]simulator.Fault{simulator.Lose}, true},
		"done, 502":                      {[]simulator.Fault{simulator.FailAfter(502)}, true},
		"done, half an answer":           {[]simulator.Fault{simulator.Break}, true},
		"done, then the next call fails": {[]simulator.Fault{simulator.Lose, simulator.Refuse(503, ""), simulator.Cut}, true},
		"not done":                       {[]simulator.Fault{simulator.Cut}, false},
		"not done, 500":                  {[]simulator.Fault{simulator.Refuse(500, "")}, false},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, nil, func(t *testing.T, w *world) {
				current, err := w.client.Webhook(t.Context(), w.hook().ID)
				require.NoError(t, err)
				w.faults.On(registrations, tt.faults...)
				secret, err := w.client.Rotate(t.Context(), current)
				after, getErr := w.platform.Webhook(current.ID)
				require.NoError(t, getErr)
				if !tt.done {
					require.ErrorIs(t, err, awareid.ErrOutcomeUnknown)
					require.Equal(t, current.Secret.Reveal(), after.Secret)
					return
				}
				require.NoError(t, err)
				require.Equal(t, after.Secret, secret.Reveal())
				require.NotEqual(t, current.Secret, secret)
			})
		})
	}
}

// The operator's Ctrl-C comes when the platform has chosen the secret already.
func TestRotationSurvivesItsContext(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		current, err := w.client.Webhook(t.Context(), w.hook().ID)
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		w.faults.On(registrations, func(out http.ResponseWriter, r *http.Request, platform http.Handler) {
			defer cancel()
			simulator.Lose(out, r, platform)
		})
		secret, err := w.client.Rotate(ctx, current)
		require.NoError(t, err)
		after, err := w.platform.Webhook(current.ID)
		require.NoError(t, err)
		require.Equal(t, after.Secret, secret.Reveal())
	})
}

func TestRotationThatChangesNothing(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		current, err := w.client.Webhook(t.Context(), w.hook().ID)
		require.NoError(t, err)
		w.faults.On(registrations, simulator.Reply("application/json", `{"webhookId":"`+current.ID+`","secret":"`+current.Secret.Reveal()+`"}`))
		_, err = w.client.Rotate(t.Context(), current)
		require.ErrorIs(t, err, awareid.ErrMalformed)
		require.NotContains(t, err.Error(), current.Secret.Reveal())
	})
}

// A repeated delete finds gone what its first try removed.
func TestDeleteWhoseAnswerIsLost(t *testing.T) {
	for _, fault := range []simulator.Fault{simulator.Lose, simulator.FailAfter(502)} {
		inWorld(t, nil, func(t *testing.T, w *world) {
			hook := w.hook()
			w.faults.On(registrations, fault)
			require.NoError(t, w.client.Delete(t.Context(), hook.ID))
			_, err := w.platform.Webhook(hook.ID)
			require.ErrorIs(t, err, simulator.ErrUnknownWebhook)
		})
	}
	inWorld(t, nil, func(t *testing.T, w *world) {
		w.faults.On(registrations, simulator.Refuse(429, ""))
		require.ErrorIs(t, w.client.Delete(t.Context(), "unknown"), awareid.ErrNotFound, "a throttled try removed nothing")
	})
}

// The reference shows an error document as the only answer to a delete.
func TestARefusalWithA200(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		document := `{"errorCode":"INPUT_FORMAT_ERROR","errorMsg":"Field is missing","status":400,"timestamp":"2021-10-12T01:06:24.000Z"}`
		w.faults.On(registrations, simulator.Reply("application/json", document), simulator.Reply("application/json", `{"status":"ok"}`))
		require.Equal(t, &awareid.Error{
			Status: 400, Code: "INPUT_FORMAT_ERROR", Message: "Field is missing",
			Timestamp: time.Date(2021, 10, 12, 1, 6, 24, 0, time.UTC),
		}, refusalOf(t, w.client.Delete(t.Context(), "w")))
		require.NoError(t, w.client.Delete(t.Context(), "w"))
	})
}

func TestTheCallersContext(t *testing.T) {
	t.Run("cancelled while the platform hangs", func(t *testing.T) {
		inWorld(t, nil, func(t *testing.T, w *world) {
			ctx, cancel := context.WithCancel(t.Context())
			w.faults.On(registrations, simulator.Hang)
			time.AfterFunc(time.Second, cancel)
			began := time.Now()
			_, err := w.client.Webhooks(ctx)
			require.ErrorIs(t, err, context.Canceled)
			require.NotErrorIs(t, err, awareid.ErrUnavailable)
			require.Equal(t, time.Second, time.Since(began))
			require.Equal(t, 1, w.count("list_webhooks", "cancelled"))
		})
	})
	t.Run("cancelled while it waits", func(t *testing.T) {
		inWorld(t, nil, func(t *testing.T, w *world) {
			ctx, cancel := context.WithCancel(t.Context())
			w.faults.On(registrations, simulator.Refuse(429, "20"))
			time.AfterFunc(time.Second, cancel)
			began := time.Now()
			_, err := w.client.Webhooks(ctx)
			require.ErrorIs(t, err, context.Canceled)
			require.ErrorIs(t, err, awareid.ErrThrottled)
			require.Equal(t, time.Second, time.Since(began))
		})
	})
	t.Run("at its end while a webhook is registered", func(t *testing.T) {
		inWorld(t, nil, func(t *testing.T, w *world) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			w.faults.On(registrations, simulator.Hang)
			_, err := w.client.Register(ctx, registration())
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.ErrorIs(t, err, awareid.ErrUnavailable)
			require.ErrorIs(t, err, awareid.ErrOutcomeUnknown)
		})
	})
	t.Run("ended before the call", func(t *testing.T) {
		inWorld(t, nil, func(t *testing.T, w *world) {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			_, err := w.client.Register(ctx, registration())
			require.ErrorIs(t, err, context.Canceled)
			require.NotErrorIs(t, err, awareid.ErrOutcomeUnknown)
			synctest.Wait()
			require.Empty(t, w.calls(registrations))
		})
	})
}

func TestAPlatformThatHangs(t *testing.T) {
	inWorld(t, func(o *awareid.Options, _ *simulator.PlatformOptions) { o.Timeout, o.Attempts = 3*time.Second, 2 }, func(t *testing.T, w *world) {
		w.faults.On(registrations, simulator.Hang, simulator.Drip(time.Second))
		began := time.Now()
		_, err := w.client.Webhooks(t.Context())
		require.ErrorIs(t, err, awareid.ErrUnavailable)
		require.NotErrorIs(t, err, context.DeadlineExceeded, "the caller had time")
		require.EqualError(t, err, "list webhooks: no answer in time")
		require.Less(t, time.Since(began), 7*time.Second)
		require.Equal(t, 2, w.count("list_webhooks", "no_answer"))
	})
}
