package verify_test

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/verify"
)

var next = base64.StdEncoding.EncodeToString([]byte(strings.Repeat("n", 32)))

func TestWithGoesOnWithWhatWasLearnt(t *testing.T) {
	learnt := 0
	v := newVerifier(t, verify.Options{OnLearn: func(verify.Match) { learnt++ }})
	_, err := v.Verify(usual.headers(t), payload)
	require.NoError(t, err)
	drain(t, v)

	swapped, err := v.With([]verify.Secret{{Value: next}, {Value: previous}, {Value: current}})
	require.NoError(t, err)
	macs := swapped.CountMACs()
	match, err := swapped.Verify(usual.headers(t), payload)
	require.NoError(t, err)
	require.Equal(t, 2, match.Secret)
	require.EqualValues(t, 1, macs.Load(), "the secret that matched last still comes first")
	require.Equal(t, 1, learnt)

	macs.Store(0)
	fresh := usual
	fresh.secret = next
	match, err = swapped.Verify(fresh.headers(t), payload)
	require.NoError(t, err, "what was learnt of a sibling is enough, although discovery is used up")
	require.Equal(t, 0, match.Secret)
	require.EqualValues(t, 2, macs.Load())
	require.Equal(t, 2, learnt, "the first match of a secret is told")

	macs.Store(0)
	_, err = swapped.Verify(headers("S", forged), payload)
	require.ErrorIs(t, err, verify.ErrNoValidSignature)
	require.EqualValues(t, 3, macs.Load(), "a forgery costs one MAC for each secret, as before")
	_, err = v.Verify(fresh.headers(t), payload)
	require.ErrorIs(t, err, verify.ErrNoValidSignature, "the verifier of before is as it was")
}

func TestWithWhereTheSecretThatMatchedIsGone(t *testing.T) {
	v := newVerifier(t, verify.Options{})
	_, err := v.Verify(usual.headers(t), payload)
	require.NoError(t, err)
	drain(t, v)
	swapped, err := v.With([]verify.Secret{{Value: next}})
	require.NoError(t, err)
	fresh := usual
	fresh.secret = next
	match, err := swapped.Verify(fresh.headers(t), payload)
	require.NoError(t, err)
	require.Equal(t, verify.Match{
		Secret: 0, Header: "X-Signature",
		Encoding: verify.Hex, Hash: verify.SHA256, Form: verify.FormBase64,
	}, match)
	_, err = swapped.Verify(usual.headers(t), payload)
	require.ErrorIs(t, err, verify.ErrNoValidSignature)
}

func TestWithHonoursEndsAndRefusesWhatNewRefuses(t *testing.T) {
	v := newVerifier(t, verify.Options{})
	ended, err := v.With([]verify.Secret{{Value: next}, {Value: current, NotAfter: noon}})
	require.NoError(t, err)
	_, err = ended.Verify(usual.headers(t), payload)
	require.ErrorIs(t, err, verify.ErrExpiredSecret)
	live, err := v.With([]verify.Secret{{Value: next}, {Value: current, NotAfter: noon.Add(time.Second)}})
	require.NoError(t, err)
	_, err = live.Verify(usual.headers(t), payload)
	require.NoError(t, err)

	_, err = v.With(nil)
	require.Error(t, err)
	_, err = v.With([]verify.Secret{{Value: next}, {Value: "canary"}})
	require.ErrorContains(t, err, "index 1")
	require.NotContains(t, err.Error(), "canary")
}

func TestSecretIDTellsNothingAndDependsOnTheBytesAlone(t *testing.T) {
	id := verify.Secret{Value: current}.ID()
	require.Regexp(t, `^[0-9a-f]{8}$`, id)
	require.Equal(t, id, verify.Secret{Value: strings.TrimRight(current, "="), NotAfter: noon}.ID())
	require.NotEqual(t, id, verify.Secret{Value: previous}.ID())
	require.NotEqual(t, verify.Secret{Value: "some characters"}.ID(), verify.Secret{Value: "other characters"}.ID())
}

func TestWithOtherAuthHeader(t *testing.T) {
	v := newVerifier(t, verify.Options{AuthHeaderKey: "boc_key", AuthHeaderValue: "old"})
	both, err := v.WithAuthHeader("new\nold")
	require.NoError(t, err)
	next, err := both.WithAuthHeader("new")
	require.NoError(t, err)
	for value, want := range map[string][3]bool{
		"old": {true, true, false}, "new": {false, true, true}, "new\nold": {}, "": {}, "ne": {}, "newold": {},
	} {
		for i, v := range []*verify.Verifier{v, both, next} {
			require.Equal(t, want[i], v.Authorize(headers("boc_key", value)) == nil, "%q %d", value, i)
		}
	}
	require.NoError(t, both.Authorize(headers("boc_key", "old", "boc_key", "new")))
	require.ErrorIs(t, both.Authorize(headers("boc_key", "old", "boc_key", "x")), verify.ErrAuthHeader)
	_, err = next.Verify(headers("X-Signature", signature(t, current)), payload)
	require.NoError(t, err)

	for _, bad := range []string{"", "a\n", "\na", "a\n\nb"} {
		_, err := v.WithAuthHeader(bad)
		require.Error(t, err, "%q", bad)
	}
	_, err = newVerifier(t, verify.Options{}).WithAuthHeader("canary")
	require.Error(t, err, "a header cannot begin to be asked for")
	require.NotContains(t, err.Error(), "canary")
}
