package decrypt_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"testing"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/decrypt"
)

func TestGCMVectors(t *testing.T) {
	for _, tt := range []struct {
		name, key, iv, plaintext, ciphertext, cipher string // ciphertext with tag
	}{
		{
			"NIST CAVP gcmEncryptExtIV256, PTlen 0, count 0",
			"b52c505a37d78eda5dd34f20c22540ea1b58963cf8e5bf8ffa85f9f2492505b4", "516c33929df5a3284ff463d7",
			"", "bdc1ac884d332457a1d2664f168c76f0", "A256GCM",
		},
		{
			"NIST CAVP gcmEncryptExtIV256, PTlen 128, count 0",
			"31bdadd96698c204aa9ce1448ea94ae1fb4a9a0b3c9d773b51bb1822666b8f22", "0d18e06c7c725ac9e362e1ce",
			"2db5168e932556f8089a0622981d017d", "fa4362189661d163fcd6a56d8bf0405ad636ac1bbedd5cc3ee727dc2ab4a9489", "A256GCM",
		},
		{
			"GCM specification, test case 13",
			"0000000000000000000000000000000000000000000000000000000000000000", "000000000000000000000000",
			"", "530f8afbc74536b9a963b4f1c4cb738b", "A256GCM",
		},
		{
			"GCM specification, test case 14",
			"0000000000000000000000000000000000000000000000000000000000000000", "000000000000000000000000",
			"00000000000000000000000000000000", "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919", "A256GCM",
		},
		{
			"GCM specification, test case 15",
			"feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308", "cafebabefacedbaddecaf888",
			"d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b391aafd255",
			"522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662898015adb094dac5d93471bdec1a502270e3cc6c",
			"A256GCM",
		},
		{
			"Wycheproof aes_gcm_test 240, the counter starts anywhere",
			"00112233445566778899aabbccddeeff102132435465768798a9bacbdcedfe0f", "5c2ea9b695fcf6e264b96074d6bfa572",
			"00000000000000000000000000000000000000000000000000000000000000000000000000000000",
			"28e1c5232f4ee8161dbe4c036309e0b3254e9212bef0a93431ce5e5604c8f6a73c18a3183018b770d5808a1bd11a01129bf3c6919aff2339", "A256GCM-16",
		},
		{
			"Wycheproof aes_gcm_test 242, the counter wraps",
			"00112233445566778899aabbccddeeff102132435465768798a9bacbdcedfe0f", "ce20a7e870696a5e68533c465bad2ba1",
			"00000000000000000000000000000000000000000000000000000000000000000000000000000000",
			"4f4350565d91d9aa8c5f4048550492ad6d6fdabf66da5d1e2af7bfe1a8aadaa0baa3de38a41d9713155da6441ec071ef2d8e6cffbacc1c7c", "A256GCM-16",
		},
		{
			"Wycheproof aes_gcm_test 254, empty",
			"b4cd11db0b3e0b9b34eafd9fe027746976379155e76116afde1b96d21298e34f", "00c49f4ebb07393f07ebc3825f7b0830",
			"", "306fe8c9645cc849823e333a685b90b2", "A256GCM-16",
		},
		{
			"Wycheproof aes_gcm_test 258",
			"4f84782bfbb64a973c3de3dcfa3430367fd68bc0b4c3b31e5d7c8141ba3e6a67", "5d1bde6fa0994b33efd8f23f531248a7",
			"78cb6650a1908a842101ea85804fed00cc56fbdafafba0ef4d1ca607dcae57b6",
			"cb960201fa5ad41d41d1c2c8037c71d52b72e76b16b589d71b976627c9734c9d8dfce16467c3a6ebb3e7242c9a551962", "A256GCM-16",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			secret := base64.StdEncoding.EncodeToString(unhex(t, tt.key))
			iv, text := unhex(t, tt.iv), unhex(t, tt.ciphertext)
			bodies := map[string][]byte{
				"envelope": envelope(nil, iv, text),
				"bare":     []byte(base64.StdEncoding.EncodeToString(append(iv, text...))),
			}
			for name, body := range bodies {
				opened, err := newOpener(t, secret).Open(body, decrypt.NoSecret)
				require.NoError(t, err, name)
				require.Equal(t, tt.plaintext, hex.EncodeToString(opened.Plaintext), name)
				opened.Plaintext = nil
				require.Equal(t, decrypt.Opened{Sealed: true, Cipher: tt.cipher}, opened, name)
			}
		})
	}
}

// NIST SP 800-38A, F.2.6, CBC-AES256.Decrypt.
func TestCBCVector(t *testing.T) {
	text := unhex(t, "f58c4c04d6e5f1ba779eabfb5f7bfbd69cfc4e967edb808d679f777bc6702c7d39f23369a9d9bacfa530e26304231461b2eb05e2c39be9fcda6c19078c6a9d1b")
	decrypt.DecryptBlocks(
		unhex(t, "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4"),
		unhex(t, "000102030405060708090a0b0c0d0e0f"), text)
	require.Equal(t, "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e5130c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710",
		hex.EncodeToString(text))
}

func TestUnpad(t *testing.T) {
	for n := 1; n <= 16; n++ {
		b := append(bytes.Repeat([]byte{'x'}, 32-n), bytes.Repeat([]byte{byte(n)}, n)...)
		got, ok := decrypt.Unpad(b)
		require.True(t, ok, n)
		require.Equal(t, 32-n, got)
		for i := 32 - n; i < 31; i++ {
			wrong := bytes.Clone(b)
			wrong[i] ^= 0x40
			_, ok := decrypt.Unpad(wrong)
			require.False(t, ok, "%d bytes, byte %d wrong", n, i)
		}
	}
	for _, last := range []byte{0, 17, 32, 255} {
		_, ok := decrypt.Unpad(bytes.Repeat([]byte{last}, 32))
		require.False(t, ok, last)
	}
}

// What OpenSSL and Java sealed: testdata/README.md says how.
func TestOpenWhatOtherToolsSealed(t *testing.T) {
	for _, tt := range []struct {
		file, cipher, wrap string
		secret             int
	}{
		{"envelope-gcm.json", "A256GCM", "", 0},
		{"envelope-gcm16.json", "A256GCM-16", "", 0},
		{"envelope-cbc.json", "A256CBC", "", 0},
		{"bare-gcm.txt", "A256GCM", "", 0},
		{"bare-cbc.txt", "A256CBC", "", 0},
		{"envelope-oaep-sha256.json", "A256CBC", "RSA-OAEP-SHA256", -1},
		{"envelope-oaep-sha1.json", "A128CBC", "RSA-OAEP-SHA1", -1},
		{"envelope-oaep-sha256-mgf1sha1.json", "A192CBC", "RSA-OAEP-SHA256-MGF1SHA1", -1},
		{"envelope-java.json", "A256GCM-16", "RSA-OAEP-SHA256-MGF1SHA1", -1},
	} {
		t.Run(tt.file, func(t *testing.T) {
			opened, err := testOpener(t).Open(read(t, tt.file), decrypt.NoSecret)
			require.NoError(t, err)
			require.Equal(t, decrypt.Opened{
				Plaintext: read(t, "event.json"), Sealed: true, Cipher: tt.cipher, Wrap: tt.wrap, Secret: tt.secret,
			}, opened)
		})
	}
}
