package secrets_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/config"
	"awareid-gateway/internal/secrets"
)

// secretOf is base64 of 32 times a letter.
func secretOf(letter string) config.Secret {
	return config.Secret(base64.StdEncoding.EncodeToString([]byte(strings.Repeat(letter, 32))))
}

func listOf(letters ...string) (all []config.WebhookSecret) {
	for _, l := range letters {
		all = append(all, config.WebhookSecret{Value: secretOf(l)})
	}
	return all
}

const webhook = "0123456789abcdef0123456789abcdef"

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func newNotice() secrets.Notice {
	all := listOf("n", "a")
	all[1].NotAfter = noon.Add(time.Hour)
	return secrets.Notice{At: noon, Secrets: all}
}

func sealed(t testing.TB, under ...string) []byte {
	t.Helper()
	b, err := secrets.Seal(newNotice(), webhook, listOf(under...))
	require.NoError(t, err)
	return b
}

func TestNoticeOpensUnderEachOfItsSecrets(t *testing.T) {
	b := sealed(t, "a", "b")
	for _, with := range [][]string{{"a"}, {"b"}, {"x", "b"}} {
		got, err := secrets.Open(b, webhook, listOf(with...))
		require.NoError(t, err)
		require.Equal(t, newNotice(), got)
	}
	unpadded := listOf("a")
	unpadded[0].Value = config.Secret(strings.TrimRight(unpadded[0].Value.Reveal(), "="))
	_, err := secrets.Open(b, webhook, unpadded)
	require.NoError(t, err, "however a secret is written")
	for _, letter := range []string{"n", "a"} {
		require.NotContains(t, string(b), secretOf(letter).Reveal())
		require.NotContains(t, string(b), strings.Repeat(letter, 8))
	}
	require.NotEqual(t, b, sealed(t, "a", "b"), "nonces are random")
}

func TestNoticeOpensUnderNothingElse(t *testing.T) {
	b := sealed(t, "a")
	var parts struct {
		Sealed [][]byte `json:"sealed"`
	}
	require.NoError(t, json.Unmarshal(b, &parts))
	tampered := func(change func(item []byte) []byte) []byte {
		out, err := json.Marshal(map[string]any{"sealed": [][]byte{change(bytes.Clone(parts.Sealed[0]))}})
		require.NoError(t, err)
		return out
	}
	for name, tc := range map[string]struct {
		sealed  []byte
		webhook string
		with    []config.WebhookSecret
	}{
		"another secret":   {b, webhook, listOf("b", "n")},
		"no secret":        {b, webhook, nil},
		"another webhook":  {b, strings.Repeat("f", 32), listOf("a")},
		"nothing":          {nil, webhook, listOf("a")},
		"no JSON":          {[]byte("canary"), webhook, listOf("a")},
		"an empty object":  {[]byte("{}"), webhook, listOf("a")},
		"cut":              {tampered(func(item []byte) []byte { return item[:len(item)-1] }), webhook, listOf("a")},
		"too short":        {tampered(func(item []byte) []byte { return item[:3] }), webhook, listOf("a")},
		"a bit in the tag": {tampered(func(item []byte) []byte { item[len(item)-1] ^= 1; return item }), webhook, listOf("a")},
		"a bit in the iv":  {tampered(func(item []byte) []byte { item[0] ^= 1; return item }), webhook, listOf("a")},
		"too large":        {append(bytes.Repeat([]byte(" "), 256<<10), b...), webhook, listOf("a")},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := secrets.Open(tc.sealed, tc.webhook, tc.with)
			require.ErrorIs(t, err, secrets.ErrSealed)
			require.Zero(t, got)
		})
	}
}

func TestSealNeedsSecrets(t *testing.T) {
	_, err := secrets.Seal(newNotice(), webhook, nil)
	require.Error(t, err)
	_, err = secrets.Seal(newNotice(), webhook, make([]config.WebhookSecret, 33))
	require.Error(t, err)
}

// FuzzOpen: only what Seal made opens, and it opens to what was sealed.
func FuzzOpen(f *testing.F) {
	genuine := sealed(f, "a", "b")
	f.Add(genuine)
	f.Add(sealed(f, "x"))
	f.Add([]byte(`{"sealed":["AAAA",""]}`))
	f.Add([]byte(`{"sealed":null}`))
	f.Add(genuine[:len(genuine)/2])
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := secrets.Open(b, webhook, listOf("a"))
		if err == nil {
			require.Equal(t, newNotice(), got)
			return
		}
		require.ErrorIs(t, err, secrets.ErrSealed)
		require.Zero(t, got)
	})
}

func TestInForce(t *testing.T) {
	ending := func(s config.WebhookSecret, end time.Time) config.WebhookSecret { s.NotAfter = end; return s }
	a, b, n := listOf("a")[0], listOf("b")[0], listOf("n")[0]
	soon, later := noon.Add(time.Hour), noon.Add(24*time.Hour)
	for name, tc := range map[string]struct{ configured, told, want []config.WebhookSecret }{
		"nothing told":                   {listOf("a", "b"), nil, listOf("a", "b")},
		"the configured ones come first": {listOf("a"), listOf("n", "a"), listOf("a", "n")},
		"an end that was told": {
			[]config.WebhookSecret{a}, []config.WebhookSecret{n, ending(a, soon)}, []config.WebhookSecret{ending(a, soon), n},
		},
		"an end that is configured": {
			[]config.WebhookSecret{n, ending(a, later)}, []config.WebhookSecret{n, ending(a, soon)}, []config.WebhookSecret{n, ending(a, later)},
		},
		"one that has ended is not told any more": {
			[]config.WebhookSecret{n}, []config.WebhookSecret{n, ending(a, noon), ending(b, soon)}, []config.WebhookSecret{n, ending(b, soon)},
		},
		"an end that is over holds": {
			[]config.WebhookSecret{n, a}, []config.WebhookSecret{n, ending(a, noon)}, []config.WebhookSecret{n, ending(a, noon)},
		},
		"configured further on": {
			[]config.WebhookSecret{b, n}, []config.WebhookSecret{n, ending(a, soon)}, []config.WebhookSecret{b, n, ending(a, soon)},
		},
	} {
		t.Run(name, func(t *testing.T) {
			before := config.FormatSecrets(tc.configured)
			require.Equal(t, tc.want, secrets.InForce(tc.configured, tc.told, noon))
			require.Equal(t, before, config.FormatSecrets(tc.configured), "the arguments stay as they are")
		})
	}
}
