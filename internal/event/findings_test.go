package event_test

import (
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/event"
)

const head = `{"id":"i","type":"a","created":"2026-01-02T03:04:05Z","data":`

// checkDevice is an event whose data is the answer of checkDevice in the guide to
// re-enrollment, shortened.
const checkDevice = head + `{
  "errorCode": 0,
  "responseDetail": {
    "errorCode": "",
    "acquiredAttributes": [{"provider": "Threatmetrix", "attributeType": "TMXScore", "values": {"tmxScore": "0"}}],
    "userAssertionList": [{
      "provider": "Threatmetrix",
      "assertions": {"blacklist.ip": "pass", "test.trustedDevice6mo": "fail", "test.trustedDevice": "fail", "detect.vpn": "pass"}
    }],
    "policyObligation": false,
    "policyDecision": "approve"
  },
  "enrollmentStatus": 2,
  "registrationCode": "864d70e1-eaf3-4dbe-8b8b-920169889217"
}}`

func TestFindings(t *testing.T) {
	long := strings.Repeat("x", event.MaxNameBytes)
	for name, tc := range map[string]struct {
		data string
		want event.Findings
	}{
		"nothing":                        {`{}`, event.Findings{}},
		"a status in words":              {`{"authStatus":"2 (Complete)"}`, event.Findings{Status: "2 (Complete)"}},
		"a number as it is written":      {`{"status":1.50}`, event.Findings{Status: "1.50"}},
		"the order of statuses":          {`{"completionStatus":"Pending","authStatus":1,"enrollmentStatus":3}`, event.Findings{Status: "3"}},
		"none of two statuses, but more": {`{"status":1,"status":2,"status":3,"authStatus":4}`, event.Findings{Status: "4"}},
		"data wins over its detail":      {`{"responseDetail":{"policyDecision":"deny","status":1},"policyDecision":"approve"}`, event.Findings{PolicyDecision: "approve", Status: "1"}},
		"none of two details":            {`{"responseDetail":{"policyDecision":"deny"},"responseDetail":{"policyDecision":"approve"}}`, event.Findings{}},
		"a detail in a detail":           {`{"responseDetail":{"responseDetail":{"policyDecision":"deny"}}}`, event.Findings{}},
		"a number in a detail":           {`{"responseDetail":{"transactionNum":1,"transactionNum":2}}`, event.Findings{}},
		"none of two decisions":          {`{"policyDecision":"approve","policyDecision":"deny"}`, event.Findings{}},
		"shapes of all kinds":            {`{"policyDecision":{"a":[1]},"userAssertionList":{"assertions":{"a":"fail"}},"status":true,"responseDetail":[1]}`, event.Findings{}},
		"nulls":                          {`{"policyDecision":null,"userAssertionList":null,"status":null,"responseDetail":null}`, event.Findings{}},
		"just not too long":              {`{"status":"` + long + `"}`, event.Findings{Status: long}},
		"too long":                       {`{"status":"` + long + `x"}`, event.Findings{}},
		"not ASCII":                      {`{"status":"é","policyDecision":"a\u0000b"}`, event.Findings{}},
		"empty":                          {`{"status":"","policyDecision":""}`, event.Findings{}},
		"no list":                        {`{"userAssertionList":[]}`, event.Findings{}},
		"entries without assertions":     {`{"userAssertionList":[{"provider":"p"},{"assertions":[]},7,["fail"]]}`, event.Findings{}},
		"no assertion":                   {`{"userAssertionList":[{"assertions":{}}]}`, event.Findings{FailedAssertions: "0"}},
		"several entries":                {`{"userAssertionList":[{"assertions":{"a":"fail","b":"pass"}},null,{"x":1,"assertions":{"a":"fail","c":"FAIL","d":1,"e":{"fail":"fail"},"f":null,"g":"fail"}}]}`, event.Findings{FailedAssertions: "3"}},
		"none of two lists":              {`{"userAssertionList":[{"assertions":{"a":"fail"}}],"userAssertionList":[]}`, event.Findings{}},
	} {
		t.Run(name, func(t *testing.T) {
			e, err := event.Parse([]byte(head + tc.data + `}`))
			require.NoError(t, err)
			require.Equal(t, tc.want, e.Findings)
		})
	}
}

func TestFindingsBecomeHeaders(t *testing.T) {
	e, err := event.Parse([]byte(checkDevice))
	require.NoError(t, err)
	require.Equal(t, event.Findings{PolicyDecision: "approve", FailedAssertions: "2", Status: "2"}, e.Findings)
	h := e.Headers("hook")
	require.Equal(t, []event.Header{
		{Key: "aware-policy-decision", Value: []byte("approve")},
		{Key: "aware-failed-assertions", Value: []byte("2")},
		{Key: "aware-status", Value: []byte("2")},
	}, h[len(h)-3:])
	require.Equal(t, checkDevice, string(e.Payload))
}

// Broken JSON is malformed, wherever it breaks.
func TestFindingsInBrokenJSON(t *testing.T) {
	for end := len(head); end < len(checkDevice); end++ {
		_, err := event.Parse([]byte(checkDevice[:end]))
		require.ErrorIs(t, err, event.ErrMalformed)
	}
}

// requireBounded wants of any event that its findings fit into headers.
func requireBounded(t *testing.T, e event.Event) {
	t.Helper()
	for _, s := range []string{e.Findings.PolicyDecision, e.Findings.FailedAssertions, e.Findings.Status} {
		require.LessOrEqual(t, len(s), event.MaxNameBytes)
		for _, c := range []byte(s) {
			require.True(t, ' ' <= c && c <= '~')
		}
	}
	if n := e.Findings.FailedAssertions; n != "" {
		count, err := strconv.Atoi(n)
		require.NoError(t, err)
		require.LessOrEqual(t, count, strings.Count(string(e.Payload), "f")+strings.Count(string(e.Payload), `\u`))
	}
}
