package dispatch_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/dispatch"
)

// FuzzParcel reads what the spool's disk holds: what is read and written once
// stays as it is, and what is not ours is not quoted.
func FuzzParcel(f *testing.F) {
	written, err := dispatch.RewriteParcel([]byte(`{}`))
	require.NoError(f, err)
	for _, seed := range []string{
		string(written), `{"record":{"key":"b3A=","value":"e30="},"topic":"awareid.enrollment"}`,
		`{"Record":{"Headers":[{"Key":"gateway-origin","Value":"cmVwbGF5"}]}}`, `{"since":"2026-01-01T00:00:00.5+02:00"}`, ``, `null`, `[]`, `{"record":`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		once, err := dispatch.RewriteParcel(body)
		if err != nil {
			require.EqualError(t, err, "entry 1 of the spool is not one of this program's")
			return
		}
		twice, err := dispatch.RewriteParcel(once)
		require.NoError(t, err)
		require.Equal(t, string(once), string(twice))
	})
}
