package simulator_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/simulator"
)

const enrollments = "/onboarding/admin/registration"

// record lets n events of a generator happen.
func (c *client) record(n int) []simulator.Event {
	c.t.Helper()
	hook, err := c.platform.Register(simulator.Webhook{URL: "http://127.0.0.1/"})
	require.NoError(c.t, err)
	events := take(c.t, generator(c.t, simulator.GeneratorOptions{}), n)
	for _, e := range events {
		require.NoError(c.t, c.platform.Record(hook.ID, e))
	}
	return events
}

// The list holds what the events say, page after page.
func TestEnrollmentsFollowFromTheEvents(t *testing.T) {
	c := newClient(t, simulator.PlatformOptions{})
	status, empty := c.call("POST", enrollments, `{}`)
	require.Equal(t, 200, status)
	require.Equal(t, map[string]any{"pageNumber": 1.0, "pageSize": 100.0, "totalPages": 0.0, "totalRecords": 0.0, "list": []any{}}, empty)

	var want []string
	for _, e := range c.record(2000) {
		if e.Type == "enrollment.completed" {
			var body struct {
				Data struct{ RegistrationCode string }
			}
			unmarshal(t, e.Body, &body)
			want = append(want, body.Data.RegistrationCode)
		}
	}
	require.Greater(t, len(want), 100)
	var got []string
	for page := 1; ; page++ {
		status, answer := c.call("POST", enrollments, fmt.Sprintf(`{"pageNumber":%d,"pageSize":30}`, page))
		require.Equal(t, 200, status)
		require.EqualValues(t, len(want), answer["totalRecords"])
		require.EqualValues(t, (len(want)+29)/30, answer["totalPages"])
		list := answer["list"].([]any)
		if len(list) == 0 {
			break
		}
		for _, entry := range list {
			got = append(got, entry.(map[string]any)["registrationCode"].(string))
		}
	}
	require.Equal(t, want, got)

	status, one := c.call("GET", enrollments+"/"+want[0], "")
	require.Equal(t, 200, status)
	for _, member := range []string{"name", "email", "phoneNumber", "startDate", "registrationCode", "registeredDevices", "activities"} {
		require.Contains(t, one, member)
	}
	c.refused(404, "NOT_FOUND", "GET", enrollments+"/unknown", "")
	c.refused(405, "METHOD_NOT_ALLOWED", "PUT", enrollments, "")
	for _, page := range []string{`{"pageNumber":0}`, `{"pageSize":0}`, `{"pageSize":1001}`, `x`} {
		c.refused(400, "INPUT_FORMAT_ERROR", "POST", enrollments, page)
	}
	stranger := *c
	stranger.token = "x"
	stranger.refused(401, "UNAUTHORIZED", "POST", enrollments, `{}`)
}

// An operation is pending from its start to whatever ends it.
func TestB2COperationsFollowFromTheEvents(t *testing.T) {
	c := newClient(t, simulator.PlatformOptions{})
	hook, err := c.platform.Register(simulator.Webhook{URL: "http://127.0.0.1/"})
	require.NoError(t, err)
	want := map[string]string{}
	sessions := map[string]string{}
	for _, e := range take(t, generator(t, simulator.GeneratorOptions{}), 2000) {
		require.NoError(t, c.platform.Record(hook.ID, e))
		var body struct {
			Data struct{ SessionToken string }
		}
		unmarshal(t, e.Body, &body)
		switch e.Type {
		case "enrollment.b2c.started", "authentication.b2c.started", "reenrollment.b2c.started":
			want[e.OperationToken], sessions[e.OperationToken] = simulator.B2CPending, body.Data.SessionToken
		case "enrollment.b2c.completed", "authentication.b2c.completed", "reenrollment.b2c.completed":
			want[e.OperationToken] = simulator.B2CCompleted
		}
	}
	counts := map[string]int{}
	for operation, status := range want {
		for _, token := range []string{operation, sessions[operation]} {
			code, answer := c.call("GET", "/onboarding/b2c/operationStatus/"+token, "")
			require.Equal(t, 200, code)
			require.Equal(t, status, answer["completionStatus"])
		}
		counts[status]++
	}
	require.Greater(t, counts[simulator.B2CPending], 0)
	require.Greater(t, counts[simulator.B2CCompleted], 10)
	c.refused(404, "NOT_FOUND", "GET", "/onboarding/b2c/operationStatus/unknown", "")

	for _, kind := range []string{"enrollment.b2c.started", "enrollment.cancelled"} {
		require.NoError(t, c.platform.Record(hook.ID, simulator.Event{Type: kind, OperationToken: "op", Body: []byte(`{"data":{"sessionToken":"s"}}`)}))
	}
	_, answer := c.call("GET", "/onboarding/b2c/operationStatus/s", "")
	require.Equal(t, simulator.B2CCancelled, answer["completionStatus"])
}

func unmarshal(t *testing.T, body []byte, into any) {
	t.Helper()
	require.NoError(t, json.Unmarshal(body, into))
}
