package awareid_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/awareid"
	"awareid-gateway/internal/simulator"
)

// echo refuses with all that it was sent, in every form that a careless platform
// may choose.
func echo(status int) simulator.Fault {
	return func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		body, _ := io.ReadAll(r.Body)
		form, _ := url.ParseQuery(string(body))
		said := fmt.Sprintf("%s %s %s %s", r.URL.Path, r.Header.Get("Authorization"), r.Header.Get("apikey"), form.Get("client_secret"))
		document := map[string]any{
			"errorCode": r.Header.Get("apikey"), "errorMsg": said + " " + url.QueryEscape(said) + " " + string(body),
			"error": "invalid_client", "error_description": said + " " + string(body),
		}
		w.Header().Set("X-Echo", said)
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(document)
	}
}

// hidden must not be in any error: the values of requests that tests send.
var hidden = []string{clientSecret, apiKey, "auth-value-91c2", `q"uo\te`, "session-5c1d", "code-88ab"}

// leaksNothing looks through err and all that it wraps.
func leaksNothing(t *testing.T, err error, more ...string) {
	t.Helper()
	require.Error(t, err)
	for _, secret := range append(more, hidden...) {
		for _, form := range []string{secret, url.QueryEscape(secret), url.PathEscape(secret)} {
			require.NotContains(t, fmt.Sprintf("%v %+v %#v", err, err, err), form)
		}
	}
	switch wrapped := err.(type) {
	case interface{ Unwrap() error }:
		if inner := wrapped.Unwrap(); inner != nil {
			leaksNothing(t, inner, more...)
		}
	case interface{ Unwrap() []error }:
		for _, inner := range wrapped.Unwrap() {
			leaksNothing(t, inner, more...)
		}
	}
}

func TestErrorsLeakNoSecret(t *testing.T) {
	withQuotes := registration()
	withQuotes.AuthHeaderValue = `q"uo\te`
	calls := map[string]func(*world) error{
		"register":        func(w *world) error { return second(w.client.Register(w.t.Context(), registration())) },
		"register quotes": func(w *world) error { return second(w.client.Register(w.t.Context(), withQuotes)) },
		"update": func(w *world) error {
			return second(w.client.Update(w.t.Context(), "w", awareid.Changes{AuthHeaderKey: new("k"), AuthHeaderValue: new(awareid.Secret("auth-value-91c2"))}))
		},
		"enrollment": func(w *world) error { return second(w.client.Enrollment(w.t.Context(), "code-88ab")) },
		"b2c":        func(w *world) error { return second(w.client.B2CStatus(w.t.Context(), "session-5c1d")) },
		"list":       func(w *world) error { return w.call() },
		"enrollments": func(w *world) error {
			for _, err := range w.client.Enrollments(w.t.Context()) {
				return err
			}
			return nil
		},
	}
	faults := map[string]simulator.Fault{
		"echo 400": echo(400), "echo 401": echo(401), "echo 404": echo(404), "echo 500": echo(500), "echo 200": echo(200), "echo 302": echo(302),
		"cut": simulator.Cut, "hang": simulator.Hang, "redirect": simulator.Redirect("https://" + apiKey + "/" + clientSecret),
		"no HTTP": func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
			conn, _, err := w.(http.Hijacker).Hijack()
			if err != nil {
				return
			}
			fmt.Fprintf(conn, "%s %s %s\r\n\r\n", r.Header.Get("Authorization"), r.Header.Get("apikey"), r.URL.Path)
			conn.Close()
		},
	}
	for callName, call := range calls {
		for faultName, fault := range faults {
			t.Run(callName+"/"+faultName, func(t *testing.T) {
				inWorld(t, nil, func(t *testing.T, w *world) {
					require.NoError(t, w.call())
					for range 20 {
						w.faults.On("/webhook", fault)
						w.faults.On("/onboarding", fault)
					}
					err := call(w)
					leaksNothing(t, err, w.calls(registrations)[0].token)
				})
			})
		}
		t.Run(callName+"/token", func(t *testing.T) {
			inWorld(t, nil, func(t *testing.T, w *world) {
				for range 20 {
					w.faults.On(tokenPath, echo(400))
				}
				leaksNothing(t, call(w))
			})
		})
	}
}

// The words that are no secret stay, or nobody would know what was wrong.
func TestMaskedMessages(t *testing.T) {
	for name, tt := range map[string]struct{ body, code, message string }{
		"as in the reference": {`{"errorCode":"INPUT_FORMAT_ERROR","errorMsg":"Field is missing","status":400,"timestamp":"2021-10-12T01:06:24.000Z"}`, "INPUT_FORMAT_ERROR", "Field is missing"},
		"a code as number":    {`{"errorCode":1,"errorMsg":"Incorrect answers"}`, "1", "Incorrect answers"},
		"nulls":               {`{"errorCode":null,"errorMsg":null}`, "", ""},
		"a secret":            {`{"errorCode":"hush-hush","errorMsg":"no hush-hush, please"}`, "", "no […], please"},
		"one in the other":    {`{"errorMsg":"hush-hush-long hush-hush"}`, "", "[…] […]"},
		"in JSON":             {`{"errorMsg":"{\"value\":\"a\\\"b\"}"}`, "", `{"value":"[…]"}`},
		"escaped":             {`{"errorMsg":"a%20b a+b"}`, "", "[…] […]"},
		"a code of words":     {`{"errorCode":"what a code"}`, "", ""},
		"a code too long":     {`{"errorCode":"` + strings.Repeat("A", 65) + `"}`, "", ""},
		"other types":         {`{"errorCode":{"a":1},"errorMsg":["x"],"status":"x","timestamp":5}`, "", ""},
		"no JSON":             {`hush-hush`, "", ""},
		"a list":              {`["errorCode"]`, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			refused := awareid.ReadRefusal(400, []byte(tt.body), "hush-hush", "hush-hush-long", "a b", `a"b`, "")
			require.Equal(t, 400, refused.Status)
			require.Equal(t, tt.code, refused.Code)
			require.Equal(t, tt.message, refused.Message)
		})
	}
	long := awareid.ReadRefusal(400, []byte(`{"errorMsg":"`+strings.Repeat("é", 1000)+`"}`))
	require.LessOrEqual(t, len(long.Message), awareid.MaxMessage+len("…"))
	require.EqualError(t, awareid.ReadRefusal(400, []byte(`{"errorMsg":"a\nb\u001b[0m"}`)), `AwareID answered 400: "a\nb\x1b[0m"`)
}

func TestSecretsAreNotPrinted(t *testing.T) {
	options := awareid.Options{ClientID: "shown", ClientSecret: "hush-hush", APIKey: "hush-hush"}
	hook := awareid.Webhook{ID: "shown", Secret: "hush-hush", AuthHeaderValue: "hush-hush"}
	issued := awareid.Issued{WebhookID: "shown", Secret: "hush-hush"}
	for _, value := range []any{options, hook, issued, &hook, []awareid.Webhook{hook}, awareid.Secret("hush-hush")} {
		text := fmt.Sprintf("%v %+v %#v %s %q %x %d", value, value, value, value, value, value, value)
		var logged bytes.Buffer
		slog.New(slog.NewTextHandler(&logged, nil)).Info("x", "value", value)
		slog.New(slog.NewJSONHandler(&logged, nil)).Info("x", "value", value)
		for _, out := range []string{text, logged.String()} {
			require.NotContains(t, out, "hush")
			require.NotContains(t, out, fmt.Sprintf("%x", "hush"))
			require.Contains(t, out, "[set]")
		}
	}
	marshalled, err := json.Marshal(hook)
	require.NoError(t, err)
	require.NotContains(t, string(marshalled), "hush")
	require.Empty(t, fmt.Sprint(awareid.Secret("")))
}
