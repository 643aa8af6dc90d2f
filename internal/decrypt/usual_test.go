package decrypt_test

import (
	"bytes"
	"encoding/base64"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/decrypt"
)

func TestUsualEnvelopes(t *testing.T) {
	for _, body := range []string{
		`{"iv":"YWJj","p":"YWJjZA=="}`, `{"p":"YWJjZA","iv":"YWJj"}`, "\r\n{ \"iv\" :\t\"YWJj\" , \"p\" : \"YWJjZA==\"\n} ",
	} {
		other, iv, p := decrypt.Usual([]byte(body))
		require.False(t, other)
		require.Equal(t, "abc", string(iv), body)
		require.Equal(t, "abcd", string(p), body)
	}
	for _, body := range []string{`{"id":"i"}`, ` { "\xff`, "{\"", `{""`} {
		other, _, _ := decrypt.Usual([]byte(body))
		require.Equal(t, strings.Count(body, `"`) > 1, other, body)
	}
}

// FuzzUsual: what the reader of usual bodies knows of a body is what the reader of
// JSON in any form says.
func FuzzUsual(f *testing.F) {
	for _, seed := range []string{
		`{"iv":"YWJj","p":"YWJjZA=="}`, `{"p":"YWJjZA","iv":"YW\/j"}`, "{\"iv\":\"YWJj\",\"p\":\"YWJ\nj\"}", `{"iv":"","p":""}`,
		`{"iv":"YWJj","p":"YWJj"}x`, `{"iv":"YWJj","iv":"YWJj"}`, `{"iv":"YWJj","p":"YWJj","key":null}`, `{"iv":"YW-j","p":"YW+j",}`,
		`{"id":"i"}`, `{"i\u0076":"i"}`, "{\"\xff\"", "{\"\x00\":1}", `{"`, `{ "iv" : "YWJj" , "p" : "YQ" }`, `{"key":"","iv":"YWJj","p":"YWJj"}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		other, iv, p := decrypt.Usual(body)
		wantOther, wantIV, wantP := decrypt.Unusual(body)
		if other {
			require.True(t, wantOther)
			require.Nil(t, p)
		}
		if p != nil {
			require.False(t, wantOther)
			require.Equal(t, wantIV, iv)
			require.Equal(t, wantP, p)
		}
	})
}

// FuzzBase64: what is read is what the standard library reads in one alphabet or
// the other, and nothing else.
func FuzzBase64(f *testing.F) {
	for _, seed := range []string{
		"", "\n", "A", "AA", "AB", "AAA", "AAB", "AA==", "AA=", "AB==", "A===", "====", "AAAA====", "AAA=", "AA=\n=", "AAAA\r\n",
		"+-+-", "AAAA+/AA", "AAAA-_AA", "AAAAAAAA+-==", "AAAAAAAAAAAAAAAAA=AA", "AA==AA==", "AAAA\x00AAA", "AAAAAAA\xff", "++++__", "________/w==",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		before := bytes.Clone(text)
		got, ok := decrypt.DecodeBase64(text)
		require.Equal(t, before, text)
		want, wantOK := standardBase64(text)
		require.Equal(t, wantOK, ok)
		if ok {
			require.True(t, bytes.Equal(want, got))
		}
	})
}

func standardBase64(text []byte) ([]byte, bool) {
	padding := base64.NoPadding
	if bytes.HasSuffix(bytes.TrimRight(text, "\r\n"), []byte("=")) {
		padding = base64.StdPadding
	}
	for _, encoding := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding} {
		if b, err := encoding.WithPadding(padding).Strict().DecodeString(string(text)); err == nil {
			return b, true
		}
	}
	return nil, false
}
