package privacy_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/event"
)

const head = `{"id":"i","type":"enrollment.completed","created":"2026-01-02T03:04:05Z","operationToken":"op-1","transactionNum":7,`

func parsed(t testing.TB, payload string) event.Event {
	t.Helper()
	e, err := event.Parse([]byte(payload))
	require.NoError(t, err)
	return e
}

func TestOperationTokens(t *testing.T) {
	for name, tc := range map[string]struct{ drop, hash, token, group, key, queue string }{
		"kept":         {"$.a", "", "op-1", "", "op-1", "hook/op-1"},
		"hashed":       {"", "$.operationToken", hashOfOp1, "", hashOfOp1, "hook/" + hashOfOp1},
		"dropped":      {"$['operationToken']", "", "", hashOfOp1, hashOfOp1, "hook/" + hashOfOp1},
		"both":         {"$.operationToken", "$..operationToken", "", hashOfOp1, hashOfOp1, "hook/" + hashOfOp1},
		"of data":      {"$.data.operationToken", "", "op-1", "", "op-1", "hook/op-1"},
		"of any depth": {"", "$..operationToken", hashOfOp1, "", hashOfOp1, "hook/" + hashOfOp1},
	} {
		t.Run(name, func(t *testing.T) {
			before := parsed(t, head+`"a":1}`)
			e, _, err := rules(t, tc.drop, tc.hash).Event(before, "")
			require.NoError(t, err)
			require.Equal(t, tc.token, e.OperationToken)
			require.Equal(t, tc.group, e.Group)
			require.Equal(t, tc.key, e.PartitionKey())
			require.Equal(t, tc.queue, e.QueueKey("hook"))
			require.Equal(t, tc.token, parsed(t, string(e.Payload)).OperationToken, "the payload says the same")
			require.Equal(t, before.ClaimKey("hook"), e.ClaimKey("hook"))
			require.Equal(t, before.AliasKey("hook"), e.AliasKey("hook"))
		})
	}
}

func TestNoOperationTokenHasNoHash(t *testing.T) {
	for _, token := range []string{`null`, `""`} {
		e, _, err := rules(t, "", "$.operationToken").Event(parsed(t, `{"id":"i","type":"a","created":"2026-01-02T03:04:05Z","operationToken":`+token+`}`), "")
		require.NoError(t, err)
		require.Equal(t, "i", e.PartitionKey())
		require.Empty(t, e.QueueKey("hook"))
	}
}

func TestAnEventRedactedBefore(t *testing.T) {
	r := rules(t, "$.a", "$.operationToken,$.username")
	e, done, err := r.Event(parsed(t, head+`"a":1,"username":"jane"}`), "")
	require.NoError(t, err)
	again, doneAgain, err := r.Event(parsed(t, string(e.Payload)), done)
	require.NoError(t, err)
	require.Equal(t, e, again)
	require.Equal(t, done, doneAgain)
}

// TestFindings are left out where a path that matched could have changed them.
func TestFindings(t *testing.T) {
	const payload = head + `"username":"jane","data":{"policyDecision":"approve","status":"DONE","enrollmentStatus":"LATER","email":"e",
		"userAssertionList":[{"username":"jane","assertions":{"face":"pass","voice":"fail"}}],
		"responseDetail":{"policyDecision":"decline","email":"x"}}}`
	all := event.Findings{PolicyDecision: "approve", FailedAssertions: "1", Status: "DONE"}
	without := func(empty func(*event.Findings)) event.Findings {
		f := all
		empty(&f)
		return f
	}
	noDecision := without(func(f *event.Findings) { f.PolicyDecision = "" })
	noFailed := without(func(f *event.Findings) { f.FailedAssertions = "" })
	noStatus := without(func(f *event.Findings) { f.Status = "" })
	require.Equal(t, all, parsed(t, payload).Findings)
	for path, want := range map[string]event.Findings{
		"$.username":                                   all,
		"$.data.email":                                 all,
		"$.data.userAssertionList[*].username":         all,
		"$.data.policyDecision":                        noDecision,
		"$.data.responseDetail.policyDecision":         noDecision,
		"$..policyDecision":                            {Status: "DONE"}, // an assertion could have that name
		"$.data.status":                                noStatus,
		"$.data.enrollmentStatus":                      noStatus,
		"$.data.authStatus":                            all, // it does not match
		"$.data.userAssertionList":                     noFailed,
		"$.data.userAssertionList[0]":                  noFailed,
		"$.data.userAssertionList[1]":                  all, // nor does this
		"$.data.userAssertionList[*].assertions.voice": noFailed,
		"$.data.userAssertionList[*].assertions":       noFailed,
		"$.data.*[0].assertions['face']":               noFailed,
		"$.data":                                       {},
		"$.data.*":                                     {},
		"$.data.responseDetail":                        {},
		"$..email":                                     noFailed, // likewise
	} {
		t.Run(path, func(t *testing.T) {
			for _, r := range []struct{ drop, hash string }{{path, ""}, {"", path}} {
				e, done, err := rules(t, r.drop, r.hash).Event(parsed(t, payload), "")
				require.NoError(t, err)
				require.Equal(t, want, e.Findings)
				e.Findings = all // as they might be read from the redacted payload
				again, _, err := rules(t, "$.nothing", "").Event(e, done)
				require.NoError(t, err)
				require.Equal(t, want, again.Findings)
			}
		})
	}
	e, _, err := rules(t, "$.nothing", "").Event(parsed(t, payload), "drop=of another form")
	require.NoError(t, err)
	require.Zero(t, e.Findings)
}

func TestEventRefusesWhatIsNoJSON(t *testing.T) {
	e, done, err := rules(t, "$.a", "").Event(event.Event{ID: "i", Payload: []byte(`{"a":`)}, "")
	require.Error(t, err)
	require.Zero(t, e)
	require.Empty(t, done)
}

func TestAnotherKeyHashesWhatComesFromNowOn(t *testing.T) {
	r := rules(t, "", "$.a")
	hash := func() string {
		hashed, err := r.Hash([]byte(`"jane"`))
		require.NoError(t, err)
		return hashed
	}
	first := hash()
	require.Equal(t, first, hash())
	require.Error(t, r.SetKey([]byte("short")))
	require.Equal(t, first, hash(), "a bad key changes nothing")
	require.NoError(t, r.SetKey([]byte("another key, which has 32 bytes.")))
	require.NotEqual(t, first, hash())
}
