package config_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/config"
)

// FuzzLoad puts any value into any variable: it is taken, or refused in lines
// that name variables and hold no secret.
func FuzzLoad(f *testing.F) {
	values := []string{"", ",", "10.0.0.0/33", "::1/64,1.2.3.4", "a=b,*=c,x.*=y", "redis://:s3cr3t@[::1", "999999h", "-1", "1e9", "s3cr3t@2026-12-31T00:00Z,@", "h:1,:,h:99999"}
	variables := config.Variables()
	for i := range variables {
		f.Add(uint8(i), "s3cr3t-value-which-is-wrong")
		f.Add(uint8(i), values[i%len(values)])
	}
	f.Fuzz(func(t *testing.T, which uint8, value string) {
		v := variables[int(which)%len(variables)]
		_, warnings, err := config.Load(environ(v.Name + "=" + value))
		if err != nil {
			require.NotEmpty(t, problemLines(t, err))
		}
		if secret := strings.TrimSpace(value); v.Secret && len(secret) >= 12 {
			require.NotContains(t, strings.Join(warnings, "\n"), secret)
			if err != nil {
				require.NotContains(t, err.Error(), secret)
			}
		}
	})
}
