package awareid_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/awareid"
	"awareid-gateway/internal/simulator"
)

func TestOtherCredentials(t *testing.T) {
	before := func(ours *awareid.Options, _ *simulator.PlatformOptions) {
		ours.ClientSecret, ours.APIKey, ours.Attempts = "canary-before", "canary-before", 1
	}
	inWorld(t, before, func(t *testing.T, w *world) {
		require.Error(t, w.call())
		require.NoError(t, w.client.SetClientSecret(clientSecret))
		require.NoError(t, w.client.SetAPIKey(apiKey))
		require.NoError(t, w.call())
		calls := w.calls(registrations)
		require.Equal(t, apiKey, calls[len(calls)-1].apiKey)

		require.NoError(t, w.client.SetClientSecret("canary-after"))
		require.NoError(t, w.call(), "the token serves to its end")
		for _, set := range []func(awareid.Secret) error{w.client.SetClientSecret, w.client.SetAPIKey} {
			for _, bad := range []awareid.Secret{"", "canary\n"} {
				err := set(bad)
				require.Error(t, err)
				require.NotContains(t, err.Error(), "canary")
			}
		}
		require.NoError(t, w.client.SetClientSecret(clientSecret))
		time.Sleep(time.Hour)
		require.NoError(t, w.call())
	})
}
