package awareid_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/awareid"
)

// FuzzReadEvents: what is taken is JSON with a list, every event of it comes out,
// and objects come out byte for byte.
func FuzzReadEvents(f *testing.F) {
	for _, seed := range []string{
		`{"list":[]}`, `{"list":[ {"id":"i","data":{"transactionNum":1}} , "YWJj", null]}`, `{"list":null}`, `{"list":[{"key":"","iv":"AA==","p":"AA=="}]}`,
		`{"list":[1]}`, `{}`, ``, `[{"list":[]}]`, `{"list":[{}]} {}`, "{\"list\":[{\"a\":\"\xff\"}]}", `{"list":[],"list":[{}]}`, `{"errorCode":"X","status":404}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, answer []byte) {
		bodies, err := awareid.ReadEvents(answer)
		if err != nil {
			require.ErrorIs(t, err, awareid.ErrMalformed)
			require.Nil(t, bodies)
			return
		}
		var whole map[string]json.RawMessage
		require.NoError(t, json.Unmarshal(answer, &whole))
		require.Contains(t, whole, "list")
		for _, body := range bodies {
			if len(body) > 0 && body[0] == '{' && json.Valid(body) {
				require.True(t, bytes.Contains(answer, body) || bytes.Contains(answer, []byte(`\`)), "%q", body)
			}
		}
	})
}

// FuzzReadWebhook: a webhook that is taken is the one that was asked for, and what
// it tells can stand in a variable and in a path.
func FuzzReadWebhook(f *testing.F) {
	for _, seed := range []string{
		`{"webhookId":"w","secretKey":"7+gmiAMF2E0nogAsNeHE8pLUMxYnIuslW5q/3RsuX3I=","authHeaderKey":"boc_key","authHeaderValue":"boc_secret","encryptMessageBody":false,"addSignatureHeader":false,"events":[]}`,
		`{"secret":"U6iZUV4/jhwLeqkwV+tAzn5zncVNSwvSEhppr8M20XY=","webhookId":"486a5c0c27db4ebbbf970deacc755a25"}`,
		`{"list":[{"webhookId":"w"},"v"]}`, `{"webhookId":"w","secret":"a","secretKey":"b"}`, `{}`, `null`, `<html>`, `{"webhookId":"w","events":[1]}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, answer []byte) {
		usable := func(hook awareid.Webhook) {
			require.NotEmpty(t, hook.ID)
			require.True(t, visible(hook.ID) && visible(hook.Secret.Reveal()))
		}
		if hook, err := awareid.ReadWebhook(answer, "w"); err == nil {
			require.Equal(t, "w", hook.ID)
			usable(hook)
		} else {
			require.ErrorIs(t, err, awareid.ErrMalformed)
		}
		if hooks, err := awareid.ReadWebhooks(answer); err == nil {
			for _, hook := range hooks {
				usable(hook)
			}
		} else {
			require.ErrorIs(t, err, awareid.ErrMalformed)
		}
		if issued, err := awareid.ReadIssued(answer); err == nil {
			require.True(t, visible(issued.WebhookID) && visible(issued.Secret.Reveal()))
		} else {
			require.ErrorIs(t, err, awareid.ErrMalformed)
		}
	})
}

func visible(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r < '!' || r > '~' }) < 0
}

// FuzzReadPage: each enrollment of a page that is taken is an object.
func FuzzReadPage(f *testing.F) {
	for _, seed := range []string{
		`{"pageNumber":1,"pageSize":100,"totalPages":1,"totalRecords":1,"list":[{"name":"string","registrationCode":"cad27b38"}]}`,
		`{"list":[]}`, `{"pageNumber":2,"list":[{}]}`, `{"list":[1]}`, `{"totalPages":1e99,"list":[]}`, `{"totalPages":-1,"list":null}`, `[]`,
	} {
		f.Add([]byte(seed), "registrationCode")
	}
	f.Fuzz(func(t *testing.T, answer []byte, member string) {
		page, err := awareid.ReadPage(answer, 1)
		if err != nil {
			require.ErrorIs(t, err, awareid.ErrMalformed)
			return
		}
		for _, e := range page.Enrollments {
			var object map[string]json.RawMessage
			require.NoError(t, json.Unmarshal(e.Object, &object))
			if _, told := e.Member(member); told && utf8.ValidString(member) {
				require.True(t, len(object) > 0)
			}
			if code, told := e.Member("registrationCode"); told {
				require.Equal(t, e.RegistrationCode, code)
			}
		}
	})
}

// FuzzReadRefusal: whatever a platform says, an error is short, fit for a line of a
// log, and without the secrets of the request.
func FuzzReadRefusal(f *testing.F) {
	for _, seed := range []string{
		`{"errorCode":"INPUT_FORMAT_ERROR","errorMsg":"Field is missing","status":400,"timestamp":"2021-10-12T01:06:24.000Z"}`,
		`{"errorCode":1,"errorMsg":"hush-hush"}`, `{"errorCode":"hush-hush"}`, `{"errorMsg":"hush\u002dhush"}`, `{"errorMsg":"\ud800"}`, `hush-hush`, `{"status":"999"}`,
	} {
		f.Add(400, []byte(seed), "5")
	}
	f.Add(429, []byte(nil), "99999999999999999999")
	f.Add(503, []byte(nil), "Fri, 02 Jan 2026 12:00:00 GMT")
	f.Fuzz(func(t *testing.T, status int, body []byte, retryAfter string) {
		refused := awareid.ReadRefusal(status, body, "hush-hush", "hush")
		require.Equal(t, status, refused.Status)
		require.LessOrEqual(t, len(refused.Message), awareid.MaxMessage+len("…"))
		require.True(t, visible(refused.Code))
		text := refused.Error()
		require.NotContains(t, text, "hush")
		require.NotContains(t, text, "\n")
		require.True(t, utf8.ValidString(text))
		require.GreaterOrEqual(t, awareid.RetryAfter(http.Header{"Retry-After": {retryAfter}}, time.Unix(0, 0)), time.Duration(0))
	})
}
