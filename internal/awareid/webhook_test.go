package awareid_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/awareid"
	"awareid-gateway/internal/event"
	"awareid-gateway/internal/simulator"
)

func TestAWebhooksLife(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		ctx := t.Context()
		none, err := w.client.Webhooks(ctx)
		require.NoError(t, err)
		require.Empty(t, none)

		made, err := w.client.Register(ctx, registration())
		require.NoError(t, err)
		require.Regexp(t, `^[0-9a-f]{32}$`, made.WebhookID)
		theirs, err := w.platform.Webhook(made.WebhookID)
		require.NoError(t, err)
		require.Equal(t, theirs.Secret, made.Secret.Reveal())
		require.ElementsMatch(t, event.Types(), theirs.Events, "without a list: all")
		require.True(t, theirs.EncryptMessageBody)
		require.True(t, theirs.AddSignatureHeader)

		got, err := w.client.Webhook(ctx, made.WebhookID)
		require.NoError(t, err)
		require.Equal(t, awareid.Webhook{
			ID: made.WebhookID, AuthHeaderKey: "X-Auth", AuthHeaderValue: "auth-value-91c2",
			EncryptMessageBody: new(true), AddSignatureHeader: new(true), Events: event.Types(), Secret: made.Secret,
		}, got)

		issued, err := w.client.Update(ctx, made.WebhookID, awareid.Changes{EncryptMessageBody: new(false), Events: []string{"enrollment.completed"}})
		require.NoError(t, err)
		require.Equal(t, made, issued, "the secret stays")
		listed, err := w.client.Webhooks(ctx)
		require.NoError(t, err)
		require.Equal(t, []awareid.Webhook{{
			ID: made.WebhookID, URL: target, AuthHeaderKey: "X-Auth", AuthHeaderValue: "auth-value-91c2",
			EncryptMessageBody: new(false), AddSignatureHeader: new(true), Events: []string{"enrollment.completed"},
		}}, listed)

		require.NoError(t, w.client.Delete(ctx, made.WebhookID))
		require.ErrorIs(t, w.client.Delete(ctx, made.WebhookID), awareid.ErrNotFound)
		_, err = w.client.Webhook(ctx, made.WebhookID)
		require.ErrorIs(t, err, awareid.ErrNotFound)
		_, err = w.client.Update(ctx, made.WebhookID, awareid.Changes{})
		require.ErrorIs(t, err, awareid.ErrNotFound)
	})
}

func TestRegistrationSaysBothSwitches(t *testing.T) {
	for _, tt := range []struct{ unencrypted, unsigned bool }{{false, false}, {true, false}, {false, true}, {true, true}} {
		inWorld(t, nil, func(t *testing.T, w *world) {
			made, err := w.client.Register(t.Context(), awareid.Registration{URL: target, Unencrypted: tt.unencrypted, Unsigned: tt.unsigned})
			require.NoError(t, err)
			theirs, err := w.platform.Webhook(made.WebhookID)
			require.NoError(t, err)
			require.Equal(t, !tt.unencrypted, theirs.EncryptMessageBody)
			require.Equal(t, !tt.unsigned, theirs.AddSignatureHeader)
			require.Empty(t, theirs.AuthHeaderKey)
		})
	}
}

func TestRequestsCarryTokenAndKey(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		_, err := w.client.Webhooks(t.Context())
		require.NoError(t, err)
		require.Len(t, w.seen, 2)
		require.Equal(t, "/auth/realms/acme-consumers/protocol/openid-connect/token", w.seen[0].path)
		require.Empty(t, w.seen[0].token)
		require.Empty(t, w.seen[0].apiKey)
		require.Len(t, w.seen[1].token, 64)
		require.Equal(t, apiKey, w.seen[1].apiKey)
	})
}

// A platform that takes only one of the methods is asked by that one, after the
// first 405.
func TestUpdateFindsTheMethod(t *testing.T) {
	for method, want := range map[string][]string{
		http.MethodPut:   {"PUT", "PUT"},
		http.MethodPatch: {"PUT", "PATCH", "PATCH"},
	} {
		inWorld(t, func(_ *awareid.Options, o *simulator.PlatformOptions) { o.UpdateMethod = method }, func(t *testing.T, w *world) {
			hook := w.hook()
			for range 2 {
				_, err := w.client.Update(t.Context(), hook.ID, awareid.Changes{EncryptMessageBody: new(false)})
				require.NoError(t, err)
			}
			var methods []string
			for _, c := range w.calls(registrations) {
				methods = append(methods, c.method)
			}
			require.Equal(t, want, methods)
		})
	}
	inWorld(t, nil, func(t *testing.T, w *world) {
		w.faults.On(registrations, simulator.Refuse(405, ""), simulator.Refuse(405, ""))
		_, err := w.client.Update(t.Context(), w.hook().ID, awareid.Changes{})
		refused := refusalOf(t, err)
		require.Equal(t, 405, refused.Status)
	})
}

func TestRotate(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		made, err := w.client.Register(t.Context(), awareid.Registration{
			URL: target, AuthHeaderKey: "X-Auth", AuthHeaderValue: "v", Unencrypted: true, Unsigned: true, Events: []string{"enrollment.started"},
		})
		require.NoError(t, err)
		before, err := w.platform.Webhook(made.WebhookID)
		require.NoError(t, err)
		current, err := w.client.Webhook(t.Context(), made.WebhookID)
		require.NoError(t, err)

		secret, err := w.client.Rotate(t.Context(), current)
		require.NoError(t, err)
		require.NotEqual(t, made.Secret, secret)
		after, err := w.platform.Webhook(made.WebhookID)
		require.NoError(t, err)
		require.Equal(t, after.Secret, secret.Reveal())
		after.Secret = before.Secret
		require.Equal(t, before, after, "a rotation changes nothing else")
	})
}

// A platform that takes what an update leaves out for its default would switch
// encryption on: so nothing that is known is left out.
func TestRotateSendsWhatItKnows(t *testing.T) {
	hook := awareid.Webhook{
		ID: "w", URL: target, AuthHeaderKey: "X-Auth", AuthHeaderValue: "v", Secret: "old",
		EncryptMessageBody: new(false), AddSignatureHeader: new(true), Events: []string{"enrollment.started"},
	}
	for name, tt := range map[string]struct {
		hook awareid.Webhook
		want string
	}{
		"all":       {hook, `{"generateNewSecret":true,"url":"` + target + `","authHeaderKey":"X-Auth","authHeaderValue":"v","encryptMessageBody":false,"addSignatureHeader":true,"events":["enrollment.started"]}`},
		"the least": {awareid.Webhook{ID: "w"}, `{"generateNewSecret":true}`},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, nil, func(t *testing.T, w *world) {
				var sent string
				w.faults.On(registrations, capture(&sent, `{"webhookId":"w","secret":"new"}`))
				secret, err := w.client.Rotate(t.Context(), tt.hook)
				require.NoError(t, err)
				require.Equal(t, "new", secret.Reveal())
				require.JSONEq(t, tt.want, sent)
			})
		})
	}
}

func TestAnswersToAnUpdate(t *testing.T) {
	for name, tt := range map[string]struct {
		answer string
		renew  bool
		secret string
		ok     bool
	}{
		"as in the reference":   {`{"webhookId":"w","secret":"s"}`, false, "s", true},
		"under the other name":  {`{"webhookId":"w","secretKey":"s"}`, true, "s", true},
		"without the id":        {`{"secret":"s"}`, true, "s", true},
		"without the secret":    {`{"webhookId":"w"}`, false, "", true},
		"nothing":               {``, false, "", true},
		"nothing new":           {``, true, "", false},
		"without the new one":   {`{"webhookId":"w"}`, true, "", false},
		"another webhook":       {`{"webhookId":"v","secret":"s"}`, false, "", false},
		"an empty object":       {`{}`, false, "", false},
		"HTML":                  {`<html>`, false, "", false},
		"a refusal with a 200 ": {`{"errorCode":"X","status":404}`, false, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, nil, func(t *testing.T, w *world) {
				w.faults.On(registrations, simulator.Reply("application/json", tt.answer))
				issued, err := w.client.Update(t.Context(), "w", awareid.Changes{GenerateNewSecret: tt.renew})
				if !tt.ok {
					require.Error(t, err)
					require.Equal(t, tt.renew, errors.Is(err, awareid.ErrOutcomeUnknown))
					return
				}
				require.NoError(t, err)
				require.Equal(t, awareid.Issued{WebhookID: "w", Secret: awareid.Secret(tt.secret)}, issued)
			})
		})
	}
}

func TestASecretHasTwoNames(t *testing.T) {
	for name, tt := range map[string]struct{ answer, secret string }{
		"secret":    {`{"webhookId":"w","secret":"s"}`, "s"},
		"secretKey": {`{"webhookId":"w","secretKey":"s"}`, "s"},
		"both":      {`{"webhookId":"w","secretKey":"s","secret":"s"}`, "s"},
		"neither":   {`{"webhookId":"w"}`, ""},
		"null":      {`{"webhookId":"w","secret":null,"secretKey":"s","authHeaderKey":null}`, "s"},
	} {
		t.Run(name, func(t *testing.T) {
			hook, err := awareid.ReadWebhook([]byte(tt.answer), "w")
			require.NoError(t, err)
			require.Equal(t, tt.secret, hook.Secret.Reveal())
			require.Equal(t, "w", hook.ID)
		})
	}
}

func TestAnswersAboutWebhooksAreRefused(t *testing.T) {
	readOne := func(body []byte) error { _, err := awareid.ReadWebhook(body, "w"); return err }
	readAll := func(body []byte) error { _, err := awareid.ReadWebhooks(body); return err }
	readIssued := func(body []byte) error { _, err := awareid.ReadIssued(body); return err }
	for name, tt := range map[string]struct {
		read   func([]byte) error
		answer string
	}{
		"nothing":            {readOne, ``},
		"HTML":               {readOne, `<html>`},
		"null":               {readOne, `null`},
		"a list":             {readOne, `[{"webhookId":"w"}]`},
		"cut short":          {readOne, `{"webhookId":"w"`},
		"two objects":        {readOne, `{"webhookId":"w"}{}`},
		"no id":              {readOne, `{"secretKey":"s"}`},
		"another webhook":    {readOne, `{"webhookId":"v"}`},
		"a switch as string": {readOne, `{"webhookId":"w","encryptMessageBody":"true"}`},
		"two secrets":        {readOne, `{"webhookId":"w","secret":"a","secretKey":"b"}`},
		"a secret of lines":  {readOne, `{"webhookId":"w","secret":"a\nb"}`},
		"a member twice":     {readOne, `{"webhookId":"w","secret":"a","secret":"b"}`},
		"no list":            {readAll, `{}`},
		"list of numbers":    {readAll, `{"list":[1]}`},
		"an element's id":    {readAll, `{"list":[{"webhookId":""}]}`},
		"an id of lines":     {readIssued, `{"webhookId":"a\nb","secret":"s"}`},
	} {
		t.Run(name, func(t *testing.T) { require.ErrorIs(t, tt.read([]byte(tt.answer)), awareid.ErrMalformed) })
	}
	hooks, err := awareid.ReadWebhooks([]byte(`{"list":["w",{"webhookId":"v","url":"u"}]}`))
	require.NoError(t, err)
	require.Equal(t, []awareid.Webhook{{ID: "w"}, {ID: "v", URL: "u"}}, hooks)
	hooks, err = awareid.ReadWebhooks([]byte(`{"list":null}`))
	require.NoError(t, err)
	require.Empty(t, hooks)
}

func TestBadArgumentsAreNotSent(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		ctx := t.Context()
		register := func(r awareid.Registration) error { _, err := w.client.Register(ctx, r); return err }
		for name, err := range map[string]error{
			"no url":          register(awareid.Registration{}),
			"a path as url":   register(awareid.Registration{URL: "/hook"}),
			"another scheme":  register(awareid.Registration{URL: "ftp://x/hook"}),
			"a user in url":   register(awareid.Registration{URL: "https://u:p@x/hook"}),
			"key, no value":   register(awareid.Registration{URL: target, AuthHeaderKey: "k"}),
			"value, no key":   register(awareid.Registration{URL: target, AuthHeaderValue: "hush-hush"}),
			"a key of two":    register(awareid.Registration{URL: target, AuthHeaderKey: "a b", AuthHeaderValue: "hush-hush"}),
			"value of lines":  register(awareid.Registration{URL: target, AuthHeaderKey: "k", AuthHeaderValue: "hush-hush\r\nx: y"}),
			"no id":           w.client.Delete(ctx, ""),
			"dots":            w.client.Delete(ctx, ".."),
			"an id of lines":  w.client.Delete(ctx, "a\nb"),
			"half an auth":    second(w.client.Update(ctx, "w", awareid.Changes{AuthHeaderKey: new("k")})),
			"an update's url": second(w.client.Update(ctx, "w", awareid.Changes{URL: new("")})),
			"no code":         second(w.client.Enrollment(ctx, "")),
			"no session":      second(w.client.B2CStatus(ctx, "")),
		} {
			require.Error(t, err, name)
			require.NotContains(t, err.Error(), "hush-hush", name)
		}
		require.Empty(t, w.seen)
	})
}

// An id is one segment of the path, whatever is in it.
func TestIDsAreEscaped(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		require.ErrorIs(t, w.client.Delete(t.Context(), "../x?y=1#z/%2e"), awareid.ErrNotFound)
		require.Equal(t, registrations+"/../x?y=1#z/%2e", w.calls(registrations)[0].path)
	})
}

func second[T any](_ T, err error) error { return err }

// capture answers with a body and keeps what was sent.
func capture(into *string, answer string) simulator.Fault {
	return func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		var sent json.RawMessage
		_ = json.NewDecoder(r.Body).Decode(&sent)
		*into = string(sent)
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(answer))
	}
}

func refusalOf(t *testing.T, err error) *awareid.Error {
	t.Helper()
	var refused *awareid.Error
	require.ErrorAs(t, err, &refused)
	return refused
}
