package simulator_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/simulator"
)

// newFaulty is a client of a platform with faults in front.
func newFaulty(t *testing.T, o simulator.FaultOptions) (*client, *simulator.Faults) {
	t.Helper()
	c := newClient(t, simulator.PlatformOptions{})
	faults, err := simulator.NewFaults(c.platform, o)
	require.NoError(t, err)
	server := httptest.NewServer(faults)
	t.Cleanup(server.Close)
	c.url = server.URL
	return c, faults
}

// try makes a call on a connection of its own, which nobody repeats, and returns
// the error of reading the answer, too.
func (c *client) try(method, path string) (*http.Response, []byte, error) {
	c.t.Helper()
	request, err := http.NewRequestWithContext(c.t.Context(), method, c.url+path, http.NoBody)
	require.NoError(c.t, err)
	request.Close = true
	request.Header.Set("Authorization", "Bearer "+c.token)
	request.Header.Set("apikey", c.apiKey)
	direct := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, Timeout: 5 * time.Second}
	response, err := direct.Do(request)
	if err != nil {
		return nil, nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	return response, body, err
}

func TestFaults(t *testing.T) {
	const hook = registrations + "/"
	for name, tt := range map[string]struct {
		fault  simulator.Fault
		status int // 0: there is no answer
		acted  bool
	}{
		"pass":       {simulator.Pass, 204, true},
		"refuse":     {simulator.Refuse(429, "7"), 429, false},
		"cut":        {simulator.Cut, 0, false},
		"lose":       {simulator.Lose, 0, true},
		"fail after": {simulator.FailAfter(502), 502, true},
		"expire":     {simulator.Expire, 401, false},
		"drip":       {simulator.Drip(0), 204, true},
		"redirect":   {simulator.Redirect("http://127.0.0.1/x"), 307, false},
		"reply":      {simulator.Reply("text/html", "<html>"), 200, false},
		"flood":      {simulator.Flood, 200, false},
	} {
		t.Run(name, func(t *testing.T) {
			c, faults := newFaulty(t, simulator.FaultOptions{})
			made, err := c.platform.Register(simulator.Webhook{URL: "http://127.0.0.1/"})
			require.NoError(t, err)
			faults.On(registrations, tt.fault)
			response, _, err := c.try("DELETE", hook+made.ID)
			if tt.status == 0 {
				require.Error(t, err)
			} else {
				require.Equal(t, tt.status, response.StatusCode)
			}
			_, err = c.platform.Webhook(made.ID)
			require.Equal(t, tt.acted, errors.Is(err, simulator.ErrUnknownWebhook))
			require.Equal(t, 1, faults.Met())
		})
	}
	t.Run("break", func(t *testing.T) {
		c, faults := newFaulty(t, simulator.FaultOptions{})
		faults.On("/", simulator.Break, simulator.Refuse(429, "7"))
		response, body, err := c.try("GET", registrations)
		require.Equal(t, 200, response.StatusCode)
		require.ErrorIs(t, err, io.ErrUnexpectedEOF)
		require.NotEmpty(t, body)
		response, _, err = c.try("GET", registrations)
		require.NoError(t, err)
		require.Equal(t, "7", response.Header.Get("Retry-After"))
	})
	t.Run("hang", func(t *testing.T) {
		c, faults := newFaulty(t, simulator.FaultOptions{})
		faults.On("/", simulator.Hang)
		request, err := http.NewRequestWithContext(t.Context(), "GET", c.url, nil)
		require.NoError(t, err)
		_, err = (&http.Client{Timeout: 50 * time.Millisecond}).Do(request)
		require.ErrorContains(t, err, "Timeout")
	})
}

func TestFaultsAreListedByPath(t *testing.T) {
	c, faults := newFaulty(t, simulator.FaultOptions{})
	faults.On("/", simulator.Refuse(500, ""))
	faults.On(registrations, simulator.Refuse(501, ""), simulator.Pass, simulator.Refuse(502, ""))
	for _, want := range []int{501, 200, 502, 500, 200} {
		response, _, err := c.try("GET", registrations)
		require.NoError(t, err)
		require.Equal(t, want, response.StatusCode)
	}
}

// The same seed makes the same faults, about as many as were asked for.
func TestFaultsAtRandom(t *testing.T) {
	run := func() (failed []bool) {
		c, faults := newFaulty(t, simulator.FaultOptions{Share: 0.3, Seed: 7})
		for range 200 {
			response, _, err := c.try("GET", registrations)
			failed = append(failed, err != nil || response.StatusCode != 200)
		}
		met := 0
		for _, f := range failed {
			if f {
				met++
			}
		}
		require.Equal(t, met, faults.Met())
		return failed
	}
	first := run()
	require.Equal(t, first, run())
	met := 0
	for _, f := range first {
		if f {
			met++
		}
	}
	require.InDelta(t, 60, met, 25)
	_, err := simulator.NewFaults(newPlatform(t, simulator.PlatformOptions{}), simulator.FaultOptions{Share: 1.5})
	require.Error(t, err)
}
