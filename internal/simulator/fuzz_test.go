package simulator_test

import (
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/simulator"
)

// FuzzPlatform posts any body to each call that reads one. Whatever it is, the
// answer is JSON, a refusal is the client's fault, and a refused update changes
// nothing.
func FuzzPlatform(f *testing.F) {
	const id = "486a5c0c27db4ebbbf970deacc755a25"
	for _, seed := range []string{
		``, `{}`, `[]`, `null`, `{"url":1}`,
		`{"url":"https://gw.example.com/hook","events":["enrollment.started"]}`,
		`{"url":"https://gw.example.com/hook","events":[],"generateNewSecret":true}`,
		`{"webhookId":"` + id + `","list":[{"transactionNum":1},{"transactionNum":"2"},{}]}`,
	} {
		f.Add(seed)
	}
	p, err := simulator.NewPlatform(simulator.PlatformOptions{Customer: "acme", ClientID: "id", ClientSecret: "s", APIKey: "k", TokenTTL: 24 * time.Hour})
	require.NoError(f, err)
	bought := httptest.NewRecorder()
	buy := httptest.NewRequest("POST", "/auth/realms/acme-consumers/protocol/openid-connect/token",
		strings.NewReader("grant_type=client_credentials&scope=openid&client_id=id&client_secret=s"))
	buy.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	p.ServeHTTP(bought, buy)
	var token struct {
		AccessToken string `json:"access_token"`
	}
	require.NoError(f, json.Unmarshal(bought.Body.Bytes(), &token))

	f.Fuzz(func(t *testing.T, body string) {
		before, err := p.Register(simulator.Webhook{ID: id, Secret: secret, URL: "http://127.0.0.1/"})
		require.NoError(t, err)
		for _, call := range [][2]string{
			{"POST", simulator.DefaultEventDataPath},
			{"POST", registrations},
			{"PUT", registrations + "/" + id},
		} {
			request := httptest.NewRequest(call[0], call[1], strings.NewReader(body))
			request.Header.Set("Authorization", "Bearer "+token.AccessToken)
			request.Header.Set("apikey", "k")
			answer := httptest.NewRecorder()
			p.ServeHTTP(answer, request)
			require.Contains(t, []int{200, 400, 404}, answer.Code)
			require.True(t, json.Valid(answer.Body.Bytes()))
			if after, err := p.Webhook(id); answer.Code != 200 {
				require.NoError(t, err)
				require.Equal(t, before, after)
			}
		}
	})
}
