package verify_test

import (
	"encoding/base64"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/verify"
)

// The test cases of RFC 4231, section 4, but the fifth, which truncates.
func TestSignRFC4231(t *testing.T) {
	for _, tt := range []struct {
		name, key, data, sha256, sha512 string
	}{
		{
			"1", strings.Repeat("0b", 20), hex.EncodeToString([]byte("Hi There")),
			"b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
			"87aa7cdea5ef619d4ff0b4241a1d6cb02379f4e2ce4ec2787ad0b30545e17cdedaa833b7d6b8a702038b274eaea3f4e4be9d914eeb61f1702e696c203a126854",
		},
		{
			"2, a key shorter than the MAC", hex.EncodeToString([]byte("Jefe")),
			hex.EncodeToString([]byte("what do ya want for nothing?")),
			"5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
			"164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737",
		},
		{
			"3, more than a block together", strings.Repeat("aa", 20), strings.Repeat("dd", 50),
			"773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe",
			"fa73b0089d56a284efb0f0756c890be9b1b5dbdd8ee81a3655f83e33b2279d39bf3e848279a722c806b485a47e67c807b946a337bee8942674278859e13292fb",
		},
		{
			"4", "0102030405060708090a0b0c0d0e0f10111213141516171819", strings.Repeat("cd", 50),
			"82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b",
			"b0ba465637458c6990e5a8c5f61d4af7e576d97ff94b872de76f8050361ee3dba91ca5c11aa25eb4d679275cc5788063a5f19741120c4f2de2adebeb10a298dd",
		},
		{
			"6, a key longer than a block", strings.Repeat("aa", 131),
			hex.EncodeToString([]byte("Test Using Larger Than Block-Size Key - Hash Key First")),
			"60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
			"80b24263c7c1a3ebb71493c1dd7be8b49b46d1f41b4aeec1121b013783f8f3526b56d037e05f2598bd0fd2215d6a1e5295e64f73f63f0aec8b915a985d786598",
		},
		{
			"7, key and data longer than a block", strings.Repeat("aa", 131),
			hex.EncodeToString([]byte("This is a test using a larger than block-size key and a larger than block-size data. The key needs to be hashed before being used by the HMAC algorithm.")),
			"9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2",
			"e37b6a775dc87dbaa4dfa9f96e5e3ffddebd71f8867289865df5a32d20cdc944b6022cac3c4982b10d5eeb55c3e4de15134676fb6de0446065c97440fa8c6a58",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			key, data := unhex(t, tt.key), unhex(t, tt.data)
			require.Equal(t, tt.sha256, hex.EncodeToString(verify.Sign(key, verify.SHA256, data)))
			require.Equal(t, tt.sha512, hex.EncodeToString(verify.Sign(key, verify.SHA512, data)))
		})
	}
}

func TestSignRefusesOtherHashes(t *testing.T) {
	for _, hash := range []string{"", "md5", "sha1", "SHA256"} {
		require.Panics(t, func() { verify.Sign([]byte("key"), hash, nil) }, hash)
	}
}

func TestFormKey(t *testing.T) {
	key := make([]byte, 32)
	for i := range key {
		key[i] = byte(0xff - i) // in base64 it shows both characters in which the alphabets differ
	}
	std, url := base64.StdEncoding.EncodeToString(key), base64.URLEncoding.EncodeToString(key)
	require.NotEqual(t, std, url)
	raw := "sixteen letters!"

	for _, tt := range []struct {
		name   string
		form   verify.Form
		secret string
		want   []byte // nil: refused
	}{
		{"standard", verify.FormAuto, std, key},
		{"standard, no padding", verify.FormAuto, strings.TrimRight(std, "="), key},
		{"url", verify.FormAuto, url, key},
		{"url, no padding", verify.FormBase64, strings.TrimRight(url, "="), key},
		{"the empty form is auto", "", std, key},
		{"raw", verify.FormRaw, std, []byte(std)},
		{"raw, the shortest", verify.FormRaw, raw, []byte(raw)},
		{"raw, too short", verify.FormRaw, raw[1:], nil},
		{"empty", verify.FormAuto, "", nil},
		{"empty, raw", verify.FormRaw, "", nil},
		{"not base64", verify.FormAuto, raw, nil},
		{"31 bytes", verify.FormAuto, base64.StdEncoding.EncodeToString(key[:31]), nil},
		{"33 bytes", verify.FormBase64, base64.StdEncoding.EncodeToString(append(key, 1)), nil},
		{"both alphabets at once", verify.FormAuto, "+-" + std[2:], nil},
		{"bits after the end", verify.FormAuto, std[:42] + "h=", nil},
		{"a line break inside", verify.FormAuto, std[:20] + "\n" + std[20:42], nil},
		{"a wrong padding", verify.FormAuto, std[:42] + "==", nil},
		{"an unknown form", "hex", std, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := tt.form.Key(tt.secret)
			if tt.want == nil {
				require.Error(t, err)
				if tt.secret != "" {
					require.NotContains(t, err.Error(), tt.secret)
				}
				return
			}
			require.NoError(t, err)
			require.Equal(t, tt.want, got)
		})
	}
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	require.NoError(t, err)
	return b
}
