package verify_test

import (
	"encoding/base64"
	"encoding/hex"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/verify"
)

// sender signs as a platform might: with one secret, form, hash and header.
type sender struct {
	secret string
	form   verify.Form
	hash   string
	header string
}

func (s sender) headers(t testing.TB) verify.Headers {
	return headers("Host", "gateway", s.header, hex.EncodeToString(sign(t, s.form, s.secret, s.hash)))
}

var usual = sender{current, verify.FormBase64, verify.SHA256, "X-Signature"}

func TestVerifyUsualPathComputesOneMAC(t *testing.T) {
	for _, form := range []verify.Form{verify.FormBase64, verify.FormRaw} {
		for _, hash := range []string{verify.SHA256, verify.SHA512} {
			for _, secret := range []string{current, previous} {
				s := sender{secret, form, hash, "X-Signature"}
				v := newVerifier(t, verify.Options{})
				macs := v.CountMACs()
				_, err := v.Verify(s.headers(t), payload)
				require.NoError(t, err)

				macs.Store(0)
				for range 100 {
					_, err := v.Verify(s.headers(t), payload)
					require.NoError(t, err)
				}
				require.EqualValues(t, 100, macs.Load(), "%+v", s)
			}
		}
	}
}

func TestVerifyUnsignedComputesNoMAC(t *testing.T) {
	v := newVerifier(t, verify.Options{})
	macs := v.CountMACs()
	_, err := v.Verify(headers("Host", "gateway", "S", forged[:62]), payload)
	require.ErrorIs(t, err, verify.ErrNotSigned)
	require.Zero(t, macs.Load())
}

func TestVerifyComputesOnlyMACsOfALengthThatIsThere(t *testing.T) {
	v := newVerifier(t, verify.Options{Secrets: []verify.Secret{{Value: current}}})
	macs := v.CountMACs()
	_, err := v.Verify(headers("S", forged+forged), payload)
	require.ErrorIs(t, err, verify.ErrNoValidSignature)
	require.EqualValues(t, 2, macs.Load(), "SHA-512 with the decoded bytes and with the characters")
}

func TestVerifyRotationNeedsNoDiscovery(t *testing.T) {
	v := newVerifier(t, verify.Options{Form: verify.FormAuto})
	macs := v.CountMACs()
	old, rotated := usual, usual
	old.secret, old.form = previous, verify.FormRaw
	rotated.form = verify.FormRaw

	_, err := v.Verify(old.headers(t), payload)
	require.NoError(t, err)
	drain(t, v)

	macs.Store(0)
	_, err = v.Verify(rotated.headers(t), payload)
	require.NoError(t, err, "the scheme is the sibling's")
	require.EqualValues(t, 2, macs.Load(), "one for each secret")
	macs.Store(0)
	_, err = v.Verify(rotated.headers(t), payload)
	require.NoError(t, err)
	require.EqualValues(t, 1, macs.Load(), "the secret that matched last comes first")
}

func TestVerifyChangedHeaderNeedsNoDiscovery(t *testing.T) {
	v := newVerifier(t, verify.Options{})
	macs := v.CountMACs()
	_, err := v.Verify(usual.headers(t), payload)
	require.NoError(t, err)
	drain(t, v)
	mac := sign(t, usual.form, usual.secret, usual.hash)
	macs.Store(0)
	match, err := v.Verify(headers("X-New", base64.StdEncoding.EncodeToString(mac)), payload)
	require.NoError(t, err)
	require.Equal(t, "X-New", match.Header)
	require.EqualValues(t, 1, macs.Load())
}

func TestVerifyDiscoveryIsFreeUntilSomethingIsLearnt(t *testing.T) {
	v := newVerifier(t, verify.Options{})
	large := make([]byte, verify.DiscoveryBurst)
	for range 3 {
		_, err := v.Verify(headers("S", forged), large)
		require.ErrorIs(t, err, verify.ErrNoValidSignature)
	}
	_, err := v.Verify(usual.headers(t), payload)
	require.NoError(t, err)
}

func TestVerifyDiscoveryIsRateLimited(t *testing.T) {
	now := noon
	v := newVerifier(t, verify.Options{Now: func() time.Time { return now }})
	macs := v.CountMACs()
	_, err := v.Verify(usual.headers(t), payload)
	require.NoError(t, err)
	drain(t, v)

	macs.Store(0)
	for range 100 {
		_, err = v.Verify(headers("S", forged), payload)
		require.ErrorIs(t, err, verify.ErrNoValidSignature)
	}
	require.EqualValues(t, 200, macs.Load(), "a forgery costs one MAC for each secret")

	changed := usual
	changed.hash = verify.SHA512
	_, err = v.Verify(changed.headers(t), payload)
	require.ErrorIs(t, err, verify.ErrNoValidSignature)
	_, err = v.Verify(usual.headers(t), payload)
	require.NoError(t, err, "what is known goes on")

	now = now.Add(time.Second)
	_, err = v.Verify(changed.headers(t), payload)
	require.NoError(t, err, "the limit lets some through again")
	now = noon
	_, err = v.Verify(changed.headers(t), payload)
	require.NoError(t, err, "and then it is known")
}

// drain uses up what v may spend on discovery, with payloads that fit into what
// is left.
func drain(t *testing.T, v *verify.Verifier) {
	t.Helper()
	for size := verify.DiscoveryBurst / 2; ; size /= 2 {
		for range 4 {
			_, err := v.Verify(headers("S", forged), make([]byte, size))
			require.ErrorIs(t, err, verify.ErrNoValidSignature)
		}
		if size == 0 {
			return
		}
	}
}

// Many small forgeries leave room for a genuine change of scheme.
func TestVerifyManyForgeriesDoNotStopDiscovery(t *testing.T) {
	v := newVerifier(t, verify.Options{})
	_, err := v.Verify(usual.headers(t), payload)
	require.NoError(t, err)
	for range 1000 {
		_, err := v.Verify(headers("S", forged), payload)
		require.ErrorIs(t, err, verify.ErrNoValidSignature)
	}
	changed := usual
	changed.hash = verify.SHA512
	_, err = v.Verify(changed.headers(t), payload)
	require.NoError(t, err)
}

func TestOnLearn(t *testing.T) {
	var learnt []verify.Match
	v := newVerifier(t, verify.Options{OnLearn: func(m verify.Match) { learnt = append(learnt, m) }})
	rotated, moved, changed := usual, usual, usual
	rotated.secret = previous
	moved.header = "x-hub-signature"
	changed.hash = verify.SHA512

	for _, s := range []sender{usual, usual, rotated, usual, rotated, moved, moved, changed, changed} {
		_, err := v.Verify(s.headers(t), payload)
		require.NoError(t, err)
	}
	want := verify.Match{Secret: 0, Header: "X-Signature", Encoding: verify.Hex, Hash: verify.SHA256, Form: verify.FormBase64}
	other, hub, sha := want, want, want
	other.Secret, hub.Header, sha.Hash = 1, "X-Hub-Signature", verify.SHA512
	require.Equal(t, []verify.Match{want, other, hub, sha}, learnt)
}

func TestOnLearnIsNotAtTheMercyOfTheSender(t *testing.T) {
	calls := 0
	v := newVerifier(t, verify.Options{OnLearn: func(verify.Match) { calls++ }})
	for i := range 100 {
		replayed := usual
		replayed.header = "X-" + strconv.Itoa(i)
		match, err := v.Verify(replayed.headers(t), payload)
		require.NoError(t, err)
		require.Equal(t, replayed.header, match.Header)
	}
	require.Equal(t, 1+verify.RelearnBurst, calls)
}

func TestEncodingThatReadsTheSameInBothAlphabets(t *testing.T) {
	key, err := verify.FormAuto.Key(current)
	require.NoError(t, err)
	// One body after another, until every kind of signature came by.
	seen := map[string]int{}
	var learnt []verify.Match
	v := newVerifier(t, verify.Options{OnLearn: func(m verify.Match) { learnt = append(learnt, m) }})
	for i := range 200 {
		body := []byte(strconv.Itoa(i))
		value := base64.URLEncoding.EncodeToString(verify.Sign(key, verify.SHA256, body))
		c := verify.Candidates(headers("S", value), "", "")
		seen[c[0].Encoding]++
		_, err := v.Verify(headers("S", value), body)
		require.NoError(t, err)
	}
	require.Positive(t, seen[""])
	require.Positive(t, seen[verify.Base64URL])
	require.LessOrEqual(t, len(learnt), 2)
	require.Equal(t, verify.Base64URL, learnt[len(learnt)-1].Encoding)
}

func TestASecondSignedHeaderChangesNothing(t *testing.T) {
	calls := 0
	v := newVerifier(t, verify.Options{OnLearn: func(verify.Match) { calls++ }})
	good := signature(t, current)
	_, err := v.Verify(headers("X-Signature", good), payload)
	require.NoError(t, err)
	match, err := v.Verify(headers("X-Copy", good, "X-Signature", good), payload)
	require.NoError(t, err)
	require.Equal(t, "X-Signature", match.Header)
	require.Equal(t, 1, calls)
}

func TestDiscoveryComputesNoMACTwice(t *testing.T) {
	v := newVerifier(t, verify.Options{})
	macs := v.CountMACs()
	learnt := usual
	learnt.form = verify.FormRaw
	_, err := v.Verify(learnt.headers(t), payload)
	require.NoError(t, err)

	macs.Store(0)
	_, err = v.Verify(headers("S", forged), payload)
	require.ErrorIs(t, err, verify.ErrNoValidSignature)
	require.EqualValues(t, 4, macs.Load(), "two secrets in two forms")
}
