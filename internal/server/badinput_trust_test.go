package server_test

import (
	"bytes"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/server"
	"awareid-gateway/internal/simulator"
)

// trustInputs are requests that are not authentic, or too many that are.
func trustInputs() map[string]badInput {
	edited := func(change func(http.Header)) badInput {
		return badInput{raw: func(t *testing.T, g *gateway) string {
			_, event := newEvent()
			header, body := sealed(t, g.scheme, event)
			change(header)
			return post(server.Path, header, body)
		}}
	}
	under := func(change func(*simulator.Scheme)) badInput {
		return badInput{raw: func(t *testing.T, g *gateway) string {
			s := g.scheme
			change(&s)
			_, event := newEvent()
			header, body := sealed(t, s, event)
			return post(server.Path, header, body)
		}}
	}
	const name = simulator.DefaultSignatureHeader
	signature := func(edit func(string) string) badInput {
		return edited(func(h http.Header) { h.Set(name, edit(h.Get(name))) })
	}
	return map[string]badInput{
		"no auth header":                edited(func(h http.Header) { h.Del(authKey) }),
		"a wrong auth header":           edited(func(h http.Header) { h.Set(authKey, "wrong") }),
		"an empty auth header":          edited(func(h http.Header) { h.Set(authKey, "") }),
		"two auth headers":              edited(func(h http.Header) { h.Add(authKey, "wrong") }),
		"no signature":                  under(func(s *simulator.Scheme) { s.Unsigned = true }),
		"a signature that is too short": signature(func(string) string { return "short" }),
		"a wrong signature":             signature(func(string) string { return strings.Repeat("ab", 32) }),
		"a signature by MD5":            signature(func(s string) string { return "md5=" + s[:32] }),
		"a signature behind 9 others":   signature(func(s string) string { return strings.Repeat(strings.Repeat("0", 64)+",", 9) + s }),
		"a signature of another body": {raw: func(t *testing.T, g *gateway) string {
			raw := g.valid(t)
			return raw[:len(raw)-1] + " "
		}},
		"a signature in a trailer": {raw: func(t *testing.T, g *gateway) string {
			_, event := newEvent()
			header, body := sealed(t, g.scheme, event)
			value := header.Get(name)
			header.Del(name)
			return strings.TrimSuffix(chunked(server.Path, header, body, 1<<20), "\r\n") + name + ": " + value + "\r\n\r\n"
		}},
		"a secret that is not ours":    under(func(s *simulator.Scheme) { s.Secret = "b3RoZXItc2VjcmV0LW9mLTMyLWJ5dGVzLTAwMDAwMDA=" }),
		"a secret that has ended":      under(func(s *simulator.Scheme) { s.Secret = nextSecret }),
		"an empty body without either": requested(post(server.Path, http.Header{}, nil)),
		"gzip that is not authentic": {changes: []func(*setUp){acceptGzip}, raw: func(t *testing.T, g *gateway) string {
			return post(server.Path, http.Header{"Content-Encoding": {"gzip"}, authKey: {authValue}, name: {strings.Repeat("ab", 32)}}, zipped(t, make([]byte, 1<<20)))
		}},
		"more authentic requests than the quota": {
			raw: validOf, alone: true, changes: []func(*setUp){func(s *setUp) { s.Limits.RequestsPerWebhook = 1; var c clock; s.Now = c.now }},
			before: func(t *testing.T, g *gateway) { require.Equal(t, 200, g.exchange(t, g.valid(t)).status) },
		},
		"a signature that fails in a rotation": {
			changes: []func(*setUp){onlyTheOldSecret, hasty},
			before:  func(t *testing.T, g *gateway) { g.SetRotating(webhookID, true) },
			raw:     func(t *testing.T, g *gateway) string { return second(g.underNext(t)) },
		},
	}
}

// contentInputs are authentic, and the gateway says what becomes of them.
func contentInputs() map[string]badInput {
	inputs := map[string]badInput{}
	whole := func(name, cipher string, content func(valid string) string) {
		inputs[name] = badInput{raw: func(t *testing.T, g *gateway) string {
			s := g.scheme
			s.Cipher = cipher
			_, event := newEvent()
			header, body := sealed(t, s, []byte(content(string(event))))
			return post(server.Path, header, body)
		}}
	}
	sent := func(name, content string) { whole(name, "none", func(string) string { return content }) }
	event := func(name string, content func(valid string) string) { whole(name, "gcm", content) }
	with := func(name, member string) {
		event(name, func(valid string) string { return "{" + member + "," + valid[1:] })
	}
	replaced := func(name, member, value string) {
		event(name, func(valid string) string { return replaceMember(valid, member, value) })
	}

	sent("an empty body", "")
	sent("a body that is neither JSON nor base64", "strange")
	sent("base64 that nothing opens", strings.Repeat("AAAA", 20))
	sent("an envelope that nothing opens", `{"iv":"AAAAAAAAAAAAAAAA","p":"`+strings.Repeat("AAAA", 20)+`"}`)
	sent("an envelope without an iv", `{"p":"AAAA"}`)
	sent("a JSON array", "[]")
	sent("a JSON object that is no event", "{}")
	event("an event that is no JSON", func(string) string { return "strange" })
	event("an event that is cut", func(valid string) string { return valid[:len(valid)-5] })
	event("a byte order mark", func(valid string) string { return "\xef\xbb\xbf" + valid })
	event("NUL behind the event", func(valid string) string { return valid + "\x00" })
	event("two events", func(valid string) string { return valid + valid })
	event("blanks around the event", func(valid string) string { return " \r\n" + valid + "\t " })
	event("single quotes", func(valid string) string { return strings.ReplaceAll(valid, `"`, "'") })
	event("a comma at the end", func(valid string) string { return valid[:len(valid)-1] + ",}" })
	with("a comment", "/* */\"a\":1")
	with("the id twice", `"id":"another"`)
	with("the type twice", `"type":"a.b"`)
	with("the operation token twice", `"operationToken":"another"`)
	with("the id twice, once by an escape", `"\u0069d":"another"`)
	with("the id in another case, too", `"ID":"another"`)
	with("another member twice", `"x":1,"x":2`)
	with("10,000 levels", `"x":`+strings.Repeat("[", 10_000)+strings.Repeat("]", 10_000))
	with("9,000 levels", `"x":`+strings.Repeat("[", 9000)+strings.Repeat("]", 9000))
	with("30,000 levels without an end", `"x":`+strings.Repeat("[", 30_000))
	with("a number of 10,000 digits", `"x":`+strings.Repeat("9", 10_000))
	with("a number beyond every type", `"x":1e999999999`)
	with("NaN", `"x":NaN`)
	with("a number with a zero ahead", `"x":01`)
	with("a transaction number of 200 digits", `"transactionNum":`+strings.Repeat("9", 200))
	with("bytes that are not UTF-8", "\"x\":\"\xff\xfe\"")
	with("an overlong form", "\"x\":\"\xc0\xaf\"")
	with("a surrogate alone", `"x":"\ud800"`)
	with("a control character in a string", "\"x\":\"\x01\"")
	with("an escaped NUL in a string", `"x":"\u0000"`)
	with("an escape that is none", `"x":"\x"`)
	replaced("no id", "id", "null")
	replaced("an empty id", "id", `""`)
	replaced("an id that is a number", "id", "7")
	replaced("an id with a blank", "id", `"a b"`)
	replaced("an id that is not ASCII", "id", `"ä"`)
	replaced("an id of 129 characters", "id", `"`+strings.Repeat("a", 129)+`"`)
	replaced("a type with a slash", "type", `"a/b"`)
	replaced("a type of 129 characters", "type", `"`+strings.Repeat("a", 129)+`"`)
	replaced("a type that is not known", "type", `"novel.thing"`)
	replaced("an operation token of 1025 bytes", "operationToken", `"`+strings.Repeat("a", 1025)+`"`)
	replaced("no time of creation", "created", "null")
	replaced("a time that is none", "created", `"yesterday"`)
	replaced("a time too long ago", "created", `"`+now.Add(-169*time.Hour).Format(time.RFC3339)+`"`)
	replaced("a time to come", "created", `"`+now.Add(6*time.Minute).Format(time.RFC3339)+`"`)

	zip := func(name string, body func(t *testing.T, valid []byte) []byte) {
		inputs[name] = badInput{changes: []func(*setUp){acceptGzip}, raw: func(t *testing.T, g *gateway) string {
			_, event := newEvent()
			return g.coded(t, "gzip", body(t, event))
		}}
	}
	zip("a gzipped event", zipped)
	zip("a gzipped event in two members", func(t *testing.T, valid []byte) []byte {
		return append(zipped(t, valid[:9]), zipped(t, valid[9:])...)
	})
	zip("gzip that is none", func(_ *testing.T, valid []byte) []byte { return valid })
	zip("gzip with something behind it", func(t *testing.T, valid []byte) []byte { return append(zipped(t, valid), 'x') })
	zip("gzip within gzip", func(t *testing.T, valid []byte) []byte { return zipped(t, zipped(t, valid)) })
	zip("gzip of more than allowed", func(t *testing.T, valid []byte) []byte {
		return zipped(t, append(valid, bytes.Repeat([]byte(" "), 1<<20)...))
	})
	return inputs
}

// replaceMember gives a member of an event, whose values hold no quotes, another
// value.
func replaceMember(event, member, value string) string {
	before, after, _ := strings.Cut(event, `"`+member+`":"`)
	_, after, _ = strings.Cut(after, `"`)
	return before + `"` + member + `":` + value + after
}
