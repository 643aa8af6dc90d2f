package decrypt_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/decrypt"
)

// The secrets are the two that the platform's reference shows.
const (
	current  = "U6iZUV4/jhwLeqkwV+tAzn5zncVNSwvSEhppr8M20XY="
	previous = "7+gmiAMF2E0nogAsNeHE8pLUMxYnIuslW5q/3RsuX3I="
)

var (
	event = []byte(`{"id":"b6ea6be6-5e11-4946-9dc2-d41db57c5171","type":"enrollment.started"}`)
	iv12  = []byte("twelve bytes")
	iv16  = []byte("sixteen bytes iv")
)

func newOpener(t testing.TB, secrets ...string) *decrypt.Opener {
	t.Helper()
	o, err := decrypt.New(decrypt.Options{Secrets: secrets})
	require.NoError(t, err)
	return o
}

// testOpener has the keys of testdata.
func testOpener(t testing.TB) *decrypt.Opener {
	t.Helper()
	private, err := decrypt.ParsePrivateKeys(read(t, "rsa-pkcs8.pem"))
	require.NoError(t, err)
	o, err := decrypt.New(decrypt.Options{Secrets: []string{string(read(t, "secret.txt"))}, PrivateKeys: private})
	require.NoError(t, err)
	return o
}

func read(t testing.TB, file string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", file))
	require.NoError(t, err)
	return b
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	require.NoError(t, err)
	return b
}

// envelope writes an envelope in plain base64.
func envelope(key, iv, text []byte) []byte {
	members := map[string][]byte{"iv": iv, "p": text}
	if key != nil {
		members["key"] = key
	}
	b, err := json.Marshal(members)
	if err != nil {
		panic(err)
	}
	return b
}

// aesKey is the key that a secret of the platform stands for.
func aesKey(t testing.TB, secret string) cipher.Block {
	t.Helper()
	key, err := base64.StdEncoding.DecodeString(secret)
	require.NoError(t, err)
	block, err := aes.NewCipher(key)
	require.NoError(t, err)
	return block
}

func sealGCM(t testing.TB, block cipher.Block, iv, plaintext []byte) []byte {
	t.Helper()
	gcm, err := cipher.NewGCMWithNonceSize(block, len(iv))
	require.NoError(t, err)
	return gcm.Seal(nil, iv, plaintext, nil)
}

func sealCBC(block cipher.Block, iv, plaintext []byte) []byte {
	n := aes.BlockSize - len(plaintext)%aes.BlockSize
	text := append(bytes.Clone(plaintext), bytes.Repeat([]byte{byte(n)}, n)...)
	cipher.NewCBCEncrypter(block, iv).CryptBlocks(text, text)
	return text
}

func TestOpenEveryCipherAndSecret(t *testing.T) {
	ciphers := []struct {
		name string
		iv   []byte
		seal func(testing.TB, cipher.Block, []byte, []byte) []byte
	}{
		{"A256GCM", iv12, sealGCM},
		{"A256GCM-16", iv16, sealGCM},
		{"A256CBC", iv16, func(_ testing.TB, b cipher.Block, iv, p []byte) []byte { return sealCBC(b, iv, p) }},
	}
	texts := []struct {
		name   string
		encode func([]byte) string
	}{
		{"base64", base64.StdEncoding.EncodeToString},
		{"unpadded base64", base64.RawStdEncoding.EncodeToString},
		{"base64url", base64.URLEncoding.EncodeToString},
		{"unpadded base64url", base64.RawURLEncoding.EncodeToString},
		{"base64 in lines", func(b []byte) string {
			s := base64.StdEncoding.EncodeToString(b)
			return s[:8] + "\r\n" + s[8:] + "\n"
		}},
	}
	for _, c := range ciphers {
		for i, secret := range []string{current, previous} {
			for _, text := range texts {
				p := c.seal(t, aesKey(t, secret), c.iv, event)
				escaped := func(b []byte) string {
					quoted, err := json.Marshal(text.encode(b))
					require.NoError(t, err)
					return strings.ReplaceAll(string(quoted), "/", `\/`)
				}
				members := `"iv":` + escaped(c.iv) + `,"p":` + escaped(p)
				for name, body := range map[string]string{
					"no key":           `{` + members + `}`,
					"null key":         " {\"key\" : null,\n" + members + "}\r\n",
					"empty key":        `{` + members + `,"key":""}`,
					"escaped names":    strings.Replace(`{`+members+`}`, `"p"`, `"\u0070"`, 1),
					"bare":             text.encode(append(bytes.Clone(c.iv), p...)),
					"bare with spaces": "\t" + text.encode(append(bytes.Clone(c.iv), p...)) + "\r\n ",
				} {
					for first := -1; first <= 2; first++ {
						before := strings.Clone(body)
						opened, err := newOpener(t, current, previous).Open([]byte(body), first)
						require.NoError(t, err, "%s %s %s, secret %d, first %d", c.name, text.name, name, i, first)
						require.Equal(t, decrypt.Opened{Plaintext: event, Sealed: true, Cipher: c.name, Secret: i}, opened)
						require.Equal(t, before, body)
					}
				}
			}
		}
	}
}

func TestOpenSecretThatIsNoBase64(t *testing.T) {
	for _, secret := range []string{"sixteen letters!", "twenty-four characters!!", "base64ofEighteenBytes+/x", "thirty-two characters, not more!"} {
		block, err := aes.NewCipher([]byte(secret))
		require.NoError(t, err)
		opened, err := newOpener(t, "no AES key", secret).Open(envelope(nil, iv12, sealGCM(t, block, iv12, event)), 0)
		require.NoError(t, err)
		require.Equal(t, event, opened.Plaintext)
		require.Equal(t, 1, opened.Secret)
		require.Contains(t, []string{"A128GCM", "A192GCM", "A256GCM"}, opened.Cipher)
	}
}

func TestOpenLeavesOtherObjects(t *testing.T) {
	for _, body := range []string{
		string(event), `{}`, ` { } `, `{`, `{"`, `{"a`, `{x`, `{"iv":"aa"}`, `{"p":"aa"}`, `{"key":"aa"}`, `{"key":null}`,
		`{"iv":"aa","p":"aa","type":"enrollment.started"}`, `{"type":"x","iv":"aa","p":"aa"}`,
		`{"iv":"aa","p":"aa","P":"aa"}`, `{"iv":1,"p":{"a":[]},"x":1}`, `{"iv":1,"iv":2,"x":1}`, `{"x":"` + "\xff" + `"}`,
	} {
		t.Run(body, func(t *testing.T) {
			in := []byte(body)
			opened, err := newOpener(t, current).Open(in, 0)
			require.NoError(t, err)
			require.Equal(t, decrypt.Opened{Plaintext: in, Secret: decrypt.NoSecret}, opened)
			require.Same(t, &in[0], &opened.Plaintext[0])
			_, err = newOpener(t, current).OpenAuthenticated(in, nil)
			require.Equal(t, decrypt.ErrDecrypt, err)
		})
	}
}

func TestOpenRefuses(t *testing.T) {
	block := aesKey(t, current)
	gcm, cbc := sealGCM(t, block, iv12, event), sealCBC(block, iv16, event)
	good := string(envelope(nil, iv12, gcm))
	for name, body := range map[string][]byte{
		"empty":                    nil,
		"spaces":                   []byte(" \r\n"),
		"null":                     []byte("null"),
		"an array":                 []byte("[]"),
		"a string":                 []byte(`"` + base64.StdEncoding.EncodeToString(gcm) + `"`),
		"bare, too short":          []byte(base64.StdEncoding.EncodeToString(iv12)),
		"bare, not base64":         []byte("%%%%"),
		"bare, huge":               bytes.Repeat([]byte("A"), 4<<20),
		"bare in both alphabets":   []byte("+-+-" + base64.StdEncoding.EncodeToString(append(bytes.Clone(iv12), gcm...))),
		"truncated":                []byte(good[:len(good)-1]),
		"truncated in p":           []byte(good[:len(good)-20]),
		"truncated after iv":       []byte(`{"iv":"aaaa"`),
		"something behind":         []byte(good + "x"),
		"a second object behind":   []byte(good + good),
		"a comma at the end":       []byte(good[:len(good)-1] + ",}"),
		"iv twice":                 []byte(`{"iv":"aaaa",` + good[1:]),
		"p twice":                  []byte(`{"p":"aaaa",` + good[1:]),
		"key twice":                []byte(`{"key":null,"key":null,` + good[1:]),
		"iv null":                  []byte(`{"key":null,"iv":null,"p":null}`),
		"p a number":               []byte(`{"iv":"aaaa","p":1}`),
		"key an object":            []byte(`{"key":{},` + good[1:]),
		"iv a number, p missing":   []byte(`{"iv":1}`),
		"iv not base64":            []byte(`{"iv":"%","p":"aaaa"}`),
		"iv empty":                 envelope(nil, nil, gcm),
		"iv too short":             envelope(nil, iv12[:11], gcm),
		"iv too long":              envelope(nil, append(iv16, 0), gcm),
		"iv of another size":       envelope(nil, iv16, gcm),
		"another iv":               envelope(nil, []byte("Twelve bytes"), gcm),
		"p empty":                  envelope(nil, iv12, nil),
		"p shorter than a tag":     envelope(nil, iv12, gcm[:15]),
		"p without its last byte":  envelope(nil, iv12, gcm[:len(gcm)-1]),
		"p with a byte more":       envelope(nil, iv12, append(bytes.Clone(gcm), 0)),
		"p huge":                   envelope(nil, iv12, make([]byte, 4<<20)),
		"broken UTF-8 in p":        []byte(`{"iv":"aaaa","p":"` + "\xff" + `"}`),
		"another key":              envelope(nil, iv12, sealGCM(t, aesKey(t, previous), iv12, event)),
		"CBC, another key":         envelope(nil, iv16, sealCBC(aesKey(t, previous), iv16, event)),
		"CBC, not whole blocks":    envelope(nil, iv16, cbc[:len(cbc)-1]),
		"CBC, a block short":       envelope(nil, iv16, cbc[:len(cbc)-16]),
		"CBC, no block":            envelope(nil, iv16, nil),
		"CBC with a 12-byte iv":    envelope(nil, iv12, cbc),
		"CBC of an array":          envelope(nil, iv16, sealCBC(block, iv16, []byte(`[{}]`))),
		"CBC of half an object":    envelope(nil, iv16, sealCBC(block, iv16, []byte(`{"id":`))),
		"CBC of two objects":       envelope(nil, iv16, sealCBC(block, iv16, []byte(`{}{}`))),
		"CBC of nothing":           envelope(nil, iv16, sealCBC(block, iv16, nil)),
		"wrapped, no private key":  read(t, "envelope-java.json"),
		"wrapped, key not base64":  []byte(`{"key":"%",` + good[1:]),
		"wrapped, a secret as key": envelope([]byte(current), iv12, gcm),
	} {
		t.Run(name, func(t *testing.T) {
			opened, err := newOpener(t, current).Open(body, 0)
			require.Equal(t, decrypt.ErrDecrypt, err)
			require.Zero(t, opened)
			_, err = newOpener(t, current).OpenAuthenticated(body, nil)
			require.Equal(t, decrypt.ErrDecrypt, err)
		})
	}
	t.Run("no secrets", func(t *testing.T) {
		_, err := newOpener(t).Open([]byte(good), 0)
		require.Equal(t, decrypt.ErrDecrypt, err)
	})
}

func TestOpenOnce(t *testing.T) {
	inner := envelope(nil, iv12, sealGCM(t, aesKey(t, current), iv12, event))
	outer := envelope(nil, iv12, sealGCM(t, aesKey(t, current), iv12, inner))
	opened, err := newOpener(t, current).Open(outer, 0)
	require.NoError(t, err)
	require.Equal(t, inner, opened.Plaintext)
}

func TestOpenRefusesEveryFlippedBit(t *testing.T) {
	block := aesKey(t, current)
	text := sealGCM(t, block, iv12, event)
	o := newOpener(t, current, previous)
	flip := func(b []byte, bit int) []byte {
		b = bytes.Clone(b)
		b[bit/8] ^= 1 << (bit % 8)
		return b
	}
	for bit := range len(text) * 8 {
		_, err := o.Open(envelope(nil, iv12, flip(text, bit)), 0)
		require.Equal(t, decrypt.ErrDecrypt, err, "ciphertext bit %d", bit)
	}
	for bit := range len(iv12) * 8 {
		_, err := o.Open(envelope(nil, flip(iv12, bit), text), 0)
		require.Equal(t, decrypt.ErrDecrypt, err, "iv bit %d", bit)
	}
}

func TestOpenAuthenticated(t *testing.T) {
	block := aesKey(t, previous)
	o := newOpener(t, current, previous)
	gcm := envelope(nil, iv12, sealGCM(t, block, iv12, event))
	bare := []byte(base64.StdEncoding.EncodeToString(append(bytes.Clone(iv16), sealGCM(t, block, iv16, event)...)))
	for _, body := range [][]byte{gcm, bare} {
		opened, err := o.OpenAuthenticated(body, nil)
		require.NoError(t, err)
		require.Equal(t, event, opened.Plaintext)
		require.Equal(t, 1, opened.Secret)
		_, err = o.OpenAuthenticated(body, func(i int) bool { return i == 1 })
		require.NoError(t, err)
		_, err = o.OpenAuthenticated(body, func(i int) bool { return i == 0 })
		require.Equal(t, decrypt.ErrDecrypt, err, "its secret has ended")
	}
	for name, body := range map[string][]byte{
		"CBC":      envelope(nil, iv16, sealCBC(block, iv16, event)),
		"bare CBC": []byte(base64.StdEncoding.EncodeToString(append(bytes.Clone(iv16), sealCBC(block, iv16, event)...))),
	} {
		_, err := o.Open(body, decrypt.NoSecret)
		require.NoError(t, err, name)
		_, err = o.OpenAuthenticated(body, nil)
		require.Equal(t, decrypt.ErrDecrypt, err, name)
	}
	_, err := testOpener(t).OpenAuthenticated(read(t, "envelope-java.json"), nil)
	require.Equal(t, decrypt.ErrDecrypt, err, "anybody can wrap a key")
}

func TestOpenIsSafeForConcurrentUse(t *testing.T) {
	o := newOpener(t, current, previous)
	body := envelope(nil, iv12, sealGCM(t, aesKey(t, previous), iv12, event))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 200 {
				if opened, err := o.Open(body, decrypt.NoSecret); err != nil || !bytes.Equal(event, opened.Plaintext) {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}
