package store_test

import (
	"testing"

	"github.com/alicebob/miniredis/v2"
	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/store"
)

// TestAnotherPassword: new connections sign in with it, and nothing else of the URL
// may change.
func TestAnotherPassword(t *testing.T) {
	for name, tc := range map[string]struct{ scheme, query string }{
		"single": {"redis", "?max_retries=-1&pool_size=1"}, "cluster": {"redis+cluster", "?max_retries=-1"},
	} {
		t.Run(name, func(t *testing.T) {
			server := miniredis.RunT(t)
			server.RequireUserAuth("gateway", "canary-old")
			url := func(user string) string { return tc.scheme + "://" + user + "@" + server.Addr() + tc.query }
			r, err := store.OpenRedis(url("gateway:canary-old"), "test")
			require.NoError(t, err)
			defer r.Close()
			require.NoError(t, r.Ping(t.Context()))

			server.RequireUserAuth("gateway", "")
			server.RequireUserAuth("next", "canary-n%w")
			server.Close() // and with it the connections that signed in before
			require.NoError(t, server.Restart())
			require.Error(t, r.Ping(t.Context()))
			require.NoError(t, r.SetURL(url("next:canary-n%25w")))
			require.NoError(t, r.Ping(t.Context()))

			for _, bad := range []string{url("next:canary%"), "", "redis://", "http://a"} {
				err := r.SetURL(bad)
				require.ErrorIs(t, err, store.ErrURL)
				require.NotContains(t, err.Error(), "canary")
			}
			for _, elsewhere := range []string{
				"rediss://u:p@" + server.Addr() + tc.query, "redis+sentinel://" + server.Addr() + tc.query,
				tc.scheme + "://u:p@canary.internal" + tc.query, url("u:p") + "&read_timeout=3s",
			} {
				err := r.SetURL(elsewhere)
				require.ErrorIs(t, err, store.ErrElsewhere)
				require.NotContains(t, err.Error(), "canary")
			}
			require.NoError(t, r.Ping(t.Context()))
		})
	}
}
