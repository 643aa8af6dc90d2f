package simulator_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/simulator"
)

const registrations = "/webhook/registration"

// client is a customer of a platform.
type client struct {
	t             *testing.T
	platform      *simulator.Platform
	url           string
	token, apiKey string
}

func newPlatform(t *testing.T, o simulator.PlatformOptions) *simulator.Platform {
	t.Helper()
	o.Customer, o.ClientID, o.ClientSecret, o.APIKey = "acme", "id", "client-secret", "api-key"
	p, err := simulator.NewPlatform(o)
	require.NoError(t, err)
	return p
}

func newClient(t *testing.T, o simulator.PlatformOptions) *client {
	t.Helper()
	p := newPlatform(t, o)
	server := httptest.NewServer(p)
	t.Cleanup(server.Close)
	c := &client{t: t, platform: p, url: server.URL, apiKey: "api-key"}
	status, answer := c.buy("acme", credentials())
	require.Equal(t, 200, status)
	c.token = answer["access_token"].(string)
	return c
}

func credentials() url.Values {
	return url.Values{"client_id": {"id"}, "client_secret": {"client-secret"}, "scope": {"openid"}, "grant_type": {"client_credentials"}}
}

func (c *client) buy(customer string, form url.Values) (int, map[string]any) {
	c.t.Helper()
	response, err := http.PostForm(c.url+"/auth/realms/"+customer+"-consumers/protocol/openid-connect/token", form)
	require.NoError(c.t, err)
	return c.read(response)
}

func (c *client) call(method, path, body string) (int, map[string]any) {
	c.t.Helper()
	return c.read(c.do(method, path, body))
}

func (c *client) do(method, path, body string) *http.Response {
	c.t.Helper()
	request, err := http.NewRequestWithContext(c.t.Context(), method, c.url+path, strings.NewReader(body))
	require.NoError(c.t, err)
	request.Header.Set("Authorization", "Bearer "+c.token)
	request.Header.Set("apikey", c.apiKey)
	response, err := http.DefaultClient.Do(request)
	require.NoError(c.t, err)
	return response
}

func (c *client) read(response *http.Response) (int, map[string]any) {
	c.t.Helper()
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	require.NoError(c.t, err)
	if len(body) == 0 {
		return response.StatusCode, nil
	}
	var answer map[string]any
	require.NoError(c.t, json.Unmarshal(body, &answer), "%s", body)
	return response.StatusCode, answer
}

func (c *client) refused(want int, code, method, path, body string) {
	c.t.Helper()
	status, answer := c.call(method, path, body)
	require.Equal(c.t, want, status)
	require.Equal(c.t, code, answer["errorCode"])
	require.NotEmpty(c.t, answer["errorMsg"])
	require.EqualValues(c.t, want, answer["status"])
	_, err := time.Parse("2006-01-02T15:04:05.000Z", answer["timestamp"].(string))
	require.NoError(c.t, err)
}

func TestToken(t *testing.T) {
	c := newClient(t, simulator.PlatformOptions{TokenTTL: 90 * time.Second})
	status, answer := c.buy("acme", credentials())
	require.Equal(t, 200, status)
	require.NotEmpty(t, answer["access_token"])
	require.Len(t, strings.Split(answer["id_token"].(string), "."), 3)
	delete(answer, "access_token")
	delete(answer, "id_token")
	require.Equal(t, map[string]any{
		"expires_in": 90.0, "refresh_expires_in": 0.0, "token_type": "Bearer", "not-before-policy": 0.0, "scope": "openid",
	}, answer)

	for name, tt := range map[string]struct {
		customer, field, value string
		status                 int
	}{
		"realm":  {"other", "scope", "openid", 404},
		"grant":  {"acme", "grant_type", "password", 400},
		"scope":  {"acme", "scope", "all", 400},
		"id":     {"acme", "client_id", "x", 401},
		"secret": {"acme", "client_secret", "x", 401},
	} {
		t.Run(name, func(t *testing.T) {
			form := credentials()
			form.Set(tt.field, tt.value)
			status, answer := c.buy(tt.customer, form)
			require.Equal(t, tt.status, status)
			require.NotEmpty(t, answer["error"])
		})
	}
}

func TestCallsNeedTokenAndKey(t *testing.T) {
	now := noon
	c := newClient(t, simulator.PlatformOptions{TokenTTL: time.Minute, Now: func() time.Time { return now }})
	status, _ := c.call("GET", registrations, "")
	require.Equal(t, 200, status)

	wrongKey, wrongToken := *c, *c
	wrongKey.apiKey, wrongToken.token = "x", "x"
	wrongKey.refused(401, "UNAUTHORIZED", "GET", registrations, "")
	wrongToken.refused(401, "UNAUTHORIZED", "GET", registrations, "")

	now = noon.Add(time.Minute - 1)
	status, _ = c.call("GET", registrations, "")
	require.Equal(t, 200, status)
	now = noon.Add(time.Minute)
	c.refused(401, "UNAUTHORIZED", "GET", registrations, "")
}

func TestWebhookLife(t *testing.T) {
	var heard []simulator.Webhook
	c := newClient(t, simulator.PlatformOptions{OnRegister: func(w simulator.Webhook) { heard = append(heard, w) }})

	status, made := c.call("POST", registrations, `{"url":"https://gw.example.com/hook","authHeaderKey":"k","authHeaderValue":"v","events":["enrollment.started"]}`)
	require.Equal(t, 200, status)
	require.Len(t, made, 2)
	id, firstSecret := made["webhookId"].(string), made["secret"].(string)
	require.Regexp(t, `^[0-9a-f]{32}$`, id)
	require.Regexp(t, `^[A-Za-z0-9+/]{43}=$`, firstSecret)
	require.Len(t, heard, 1)
	require.Equal(t, id, heard[0].ID)

	status, got := c.call("GET", registrations+"/"+id, "")
	require.Equal(t, 200, status)
	require.Equal(t, map[string]any{
		"webhookId": id, "secretKey": firstSecret, "authHeaderKey": "k", "authHeaderValue": "v",
		"encryptMessageBody": true, "addSignatureHeader": true, "events": []any{"enrollment.started"},
	}, got)

	status, same := c.call("PUT", registrations+"/"+id, `{"encryptMessageBody":false}`)
	require.Equal(t, 200, status)
	require.Equal(t, firstSecret, same["secret"])
	status, rotated := c.call("PATCH", registrations+"/"+id, `{"generateNewSecret":true}`)
	require.Equal(t, 200, status)
	require.NotEqual(t, firstSecret, rotated["secret"])
	hook, err := c.platform.Webhook(id)
	require.NoError(t, err)
	require.Equal(t, rotated["secret"], hook.Secret)
	require.False(t, hook.EncryptMessageBody)
	require.Equal(t, "https://gw.example.com/hook", hook.URL)

	status, listed := c.call("GET", registrations, "")
	require.Equal(t, 200, status)
	require.Len(t, listed["list"], 1)
	require.NotContains(t, listed["list"].([]any)[0], "secretKey")

	status, _ = c.call("DELETE", registrations+"/"+id, "")
	require.Equal(t, 204, status)
	for _, method := range []string{"GET", "DELETE", "PUT"} {
		c.refused(404, "NOT_FOUND", method, registrations+"/"+id, "{}")
	}
}

func TestPlatformRefuses(t *testing.T) {
	c := newClient(t, simulator.PlatformOptions{UpdateMethod: "PATCH"})
	hook, err := c.platform.Register(simulator.Webhook{URL: "http://127.0.0.1/hook"})
	require.NoError(t, err)
	for name, tt := range map[string]struct {
		status             int
		code, method, path string
		body               string
	}{
		"no JSON":           {400, "INPUT_FORMAT_ERROR", "POST", registrations, "x"},
		"no url":            {400, "INPUT_FORMAT_ERROR", "POST", registrations, `{"events":["enrollment.started"]}`},
		"other url":         {400, "INPUT_FORMAT_ERROR", "POST", registrations, `{"url":"ftp://x/y","events":["enrollment.started"]}`},
		"no events":         {400, "INPUT_FORMAT_ERROR", "POST", registrations, `{"url":"https://x/y"}`},
		"unknown event":     {400, "INPUT_FORMAT_ERROR", "POST", registrations, `{"url":"https://x/y","events":["x"]}`},
		"bad update":        {400, "INPUT_FORMAT_ERROR", "PATCH", registrations + "/" + hook.ID, `{"url":""}`},
		"other method":      {405, "METHOD_NOT_ALLOWED", "PUT", registrations + "/" + hook.ID, `{}`},
		"unknown path":      {404, "NOT_FOUND", "GET", "/nowhere", ""},
		"event data of who": {404, "NOT_FOUND", "POST", simulator.DefaultEventDataPath, `{"webhookId":"x"}`},
		"bad number":        {400, "INPUT_FORMAT_ERROR", "POST", simulator.DefaultEventDataPath, `{"webhookId":"` + hook.ID + `","list":[{"transactionNum":"x"}]}`},
	} {
		t.Run(name, func(t *testing.T) {
			mine := *c
			mine.t = t
			mine.refused(tt.status, tt.code, tt.method, tt.path, tt.body)
		})
	}
	after, err := c.platform.Webhook(hook.ID)
	require.NoError(t, err)
	require.Equal(t, hook, after)
}

func TestEventData(t *testing.T) {
	for _, tt := range []struct {
		name    string
		cipher  string
		encrypt bool
		open    func(t *testing.T, element json.RawMessage) string
	}{
		{"encrypted", "gcm", true, func(t *testing.T, e json.RawMessage) string {
			_, iv, p := openEnvelope(t, e)
			return openGCM(t, key(t), iv, p)
		}},
		{"bare", "bare-gcm", true, func(t *testing.T, e json.RawMessage) string {
			var raw []byte
			require.NoError(t, json.Unmarshal(e, &raw))
			return openGCM(t, key(t), raw[:12], raw[12:])
		}},
		{"plain", "gcm", false, func(_ *testing.T, e json.RawMessage) string { return string(e) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newClient(t, simulator.PlatformOptions{Scheme: simulator.Scheme{Cipher: tt.cipher}, EventDataPath: "/data"})
			hook, err := c.platform.Register(simulator.Webhook{Secret: secret, URL: "http://127.0.0.1/", EncryptMessageBody: tt.encrypt})
			require.NoError(t, err)
			events := take(t, generator(t, simulator.GeneratorOptions{}), 5)
			for _, e := range events {
				require.NoError(t, c.platform.Record(hook.ID, e))
			}
			response := c.do("POST", "/data", `{"webhookId":"`+hook.ID+`","list":[{"transactionNum":4},{"transactionNum":"2"},{"transactionNum":99}]}`)
			defer response.Body.Close()
			require.Equal(t, 200, response.StatusCode)
			var answer struct{ List []json.RawMessage }
			require.NoError(t, json.NewDecoder(response.Body).Decode(&answer))
			require.Len(t, answer.List, 2)
			for i, want := range []simulator.Event{events[3], events[1]} {
				require.Equal(t, string(want.Body), tt.open(t, answer.List[i]))
			}
		})
	}
}

func TestEventDataForgetsTheOldest(t *testing.T) {
	c := newClient(t, simulator.PlatformOptions{KeepBytes: 2500})
	hook, err := c.platform.Register(simulator.Webhook{URL: "http://127.0.0.1/"})
	require.NoError(t, err)
	for _, e := range take(t, generator(t, simulator.GeneratorOptions{Size: 1200}), 3) {
		require.NoError(t, c.platform.Record(hook.ID, e))
		require.NoError(t, c.platform.Record(hook.ID, e))
	}
	ask := `{"webhookId":"` + hook.ID + `","list":[{"transactionNum":1},{"transactionNum":2},{"transactionNum":3}]}`
	_, answer := c.call("POST", simulator.DefaultEventDataPath, ask)
	require.Len(t, answer["list"], 2)
	require.Equal(t, simulator.Asked{Requests: 1, Numbers: 3, Known: 2}, c.platform.Asked())
	require.ErrorIs(t, c.platform.Record("x", simulator.Event{}), simulator.ErrUnknownWebhook)
}

func TestNewPlatformRefuses(t *testing.T) {
	_, err := simulator.NewPlatform(simulator.PlatformOptions{})
	require.Error(t, err)
	_, err = simulator.NewPlatform(simulator.PlatformOptions{
		Customer: "a", ClientID: "b", ClientSecret: "c", APIKey: "d", Scheme: simulator.Scheme{Cipher: "rot13"},
	})
	require.ErrorContains(t, err, "rot13")
	p := newPlatform(t, simulator.PlatformOptions{})
	_, err = p.Register(simulator.Webhook{URL: "http://127.0.0.1/", Secret: "short"})
	require.Error(t, err)
}
