package verify_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/verify"
)

func TestAtMostEightCandidates(t *testing.T) {
	good := signature(t, current)
	crowd := func(n int) []string {
		var h []string
		for i := range n {
			h = append(h, fmt.Sprintf("X-Trace-%d", i), forged)
		}
		return h
	}
	last := append(crowd(verify.MaxCandidates-1), "X-Signature", good)
	beyond := append(crowd(verify.MaxCandidates), "X-Signature", good)

	_, err := newVerifier(t, verify.Options{}).Verify(headers(last...), payload)
	require.NoError(t, err)

	v := newVerifier(t, verify.Options{})
	_, err = v.Verify(headers(beyond...), payload)
	require.ErrorIs(t, err, verify.ErrNoValidSignature)
	_, err = v.Verify(headers("X-Signature", good), payload)
	require.NoError(t, err)
	_, err = v.Verify(headers(beyond...), payload)
	require.NoError(t, err, "a header that matched before is not crowded out")

	_, err = newVerifier(t, verify.Options{Header: "X-Signature"}).Verify(headers(beyond...), payload)
	require.NoError(t, err, "nor is a pinned one")

	many := slices.Repeat([]string{forged}, verify.MaxCandidates)
	_, err = v.Verify(headers("X-Signature", strings.Join(append(many, good), ",")), payload)
	require.ErrorIs(t, err, verify.ErrNoValidSignature, "the bound holds within a header")
}

// FuzzCandidates reads any header as Verify does. What is taken for a MAC must
// have a MAC's length and be what the value says in its encoding; and a MAC
// that is written anywhere between separators must be found.
func FuzzCandidates(f *testing.F) {
	mac := bytes.Repeat([]byte{0xfb, 0xef, 0xbe, 0x01}, 16)
	for _, size := range []int{32, 64} {
		for _, enc := range encodings {
			for _, frame := range frames {
				f.Add("X-Signature", fmt.Sprintf(frame, enc.encode(mac[:size])))
			}
		}
	}
	f.Add("", "")
	f.Add("cookie", "a=b; c="+forged)
	f.Fuzz(func(t *testing.T, name, value string) {
		found := verify.Candidates(headers(name, value), "", "")
		require.LessOrEqual(t, len(found), verify.MaxCandidates)
		for _, c := range found {
			require.Equal(t, name, c.Header)
			require.Contains(t, []int{32, 64}, len(c.MAC))
			require.Condition(t, func() bool { return written(value, c) }, "%q is not in the value", c.MAC)
		}
		require.Empty(t, verify.Candidates(headers(name, value), name+"x", ""), "another header is the pinned one")

		last := base64.StdEncoding.EncodeToString(mac[:32])
		got := verify.Candidates(headers("S", value+" v1="+last), "S", "")
		if len(found) < verify.MaxCandidates {
			require.Equal(t, mac[:32], got[len(got)-1].MAC)
			require.Len(t, got, len(found)+1)
		}
	})
}

// written reports whether value holds c in the encoding that c names.
func written(value string, c verify.Candidate) bool {
	switch c.Encoding {
	case verify.Hex:
		return strings.Contains(strings.ToLower(value), hex.EncodeToString(c.MAC))
	case verify.Base64URL:
		return strings.Contains(value, base64.RawURLEncoding.EncodeToString(c.MAC))
	default:
		return strings.Contains(value, base64.RawStdEncoding.EncodeToString(c.MAC))
	}
}
