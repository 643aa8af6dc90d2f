package privacy_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/event"
	"awareid-gateway/internal/privacy"
)

const (
	fuzzDrop = "$.username,$.data.*.value,$.data.images[0],$..ssn,$['odd name'],$.data['a']..b"
	fuzzHash = "$.data.email,$..phone,$.data.images[1],$.operationToken"
)

// place is where a value stands: names and indexes from the top.
type place []any

// is compares with names and indexes; nil stands for any.
func (p place) is(want ...any) bool {
	if len(p) != len(want) {
		return false
	}
	for i := range p {
		if want[i] != nil && p[i] != want[i] {
			return false
		}
	}
	return true
}

func (p place) dropped() bool {
	return p.is("username") || p.is("data", nil, "value") || p.is("data", "images", 0) || p[len(p)-1] == "ssn" ||
		p.is("odd name") || len(p) > 2 && p[:2].is("data", "a") && p[len(p)-1] == "b"
}

func (p place) hashed() bool {
	return p.is("data", "email") || p[len(p)-1] == "phone" || p.is("data", "images", 1) || p.is("operationToken")
}

// someHash stands in an expected tree for a hash of what is no string.
var someHash = struct{}{}

// expected redacts a tree, by the places and without a path.
func expected(t testing.TB, r *privacy.Rules, at place, tree any) any {
	switch v := tree.(type) {
	case map[string]any:
		for name, child := range v {
			if p := append(at[:len(at):len(at)], name); p.dropped() {
				delete(v, name)
			} else {
				v[name] = expectedAt(t, r, p, child)
			}
		}
	case []any:
		for i, child := range v {
			if p := append(at[:len(at):len(at)], i); p.dropped() {
				v[i] = nil
			} else {
				v[i] = expectedAt(t, r, p, child)
			}
		}
	}
	return tree
}

func expectedAt(t testing.TB, r *privacy.Rules, at place, v any) any {
	if !at.hashed() || v == nil {
		return expected(t, r, at, v)
	}
	if text, ok := v.(string); ok {
		return hashOf(t, r, text)
	}
	return someHash
}

// same compares an expected tree with one.
func same(want, got any) bool {
	switch w := want.(type) {
	case struct{}:
		text, ok := got.(string)
		return ok && privacy.IsHash(text)
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok || len(w) != len(g) {
			return false
		}
		for name := range w {
			if child, there := g[name]; !there || !same(w[name], child) {
				return false
			}
		}
		return true
	case []any:
		g, ok := got.([]any)
		if !ok || len(w) != len(g) {
			return false
		}
		for i := range w {
			if !same(w[i], g[i]) {
				return false
			}
		}
		return true
	}
	return want == got
}

func tree(t *testing.T, payload []byte) (v any) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(payload))
	d.UseNumber()
	require.NoError(t, d.Decode(&v))
	return v
}

// repeatsNames reports whether an object in a valid payload has a name twice.
func repeatsNames(payload []byte) bool {
	d := jsontext.NewDecoder(bytes.NewReader(payload))
	for {
		if _, err := d.ReadToken(); err != nil {
			return !errors.Is(err, io.EOF)
		}
	}
}

// FuzzRedact compares with a tree that is redacted by hand, for every payload that is
// an event.
func FuzzRedact(f *testing.F) {
	for _, seed := range []string{
		`"username":"jane","data":{"email":"e","x":{"value":1},"images":["a",["b"],"c"],"a":{"b":1,"c":[{"b":2}]}}`,
		`"us\u0065rname":1,"odd name":2,"odd\u0020name":3,"data":[{"value":1},{"value":2}]`,
		`"ssn":1,"x":[{"ssn":{"ssn":[]}},null,[[{"phone":1e400}]]],"phone":{"phone":-0,"b":[1.0,{}],"a":""}`,
		`"operationToken":"op-1" , "username" : null ,"data":{"email":null,"images":[null,null]} `,
		`"data":{"email":1,"images":[{"value":{"b":1,"b":2}},9007199254740993]},"username":1,"username":2`,
		`"data":{"a":{"value":1,"b":{"b":1}},"b":[[[[["x"]]]]]},"z":"\ud83d\ude00 \/ <&>"`,
	} {
		f.Add([]byte(`{"id":"i","type":"a","created":"2026-01-02T03:04:05Z",` + seed + `}`))
	}
	r := rules(f, fuzzDrop, fuzzHash)
	f.Fuzz(func(t *testing.T, payload []byte) {
		before := string(payload)
		e, parseErr := event.Parse(payload)
		got, done, err := r.Redact(payload, "")
		require.Equal(t, before, string(payload), "the payload was written to")
		if parseErr == nil {
			require.NoError(t, err)
		}
		if err != nil {
			require.Nil(t, got)
			return
		}
		require.Equal(t, done == "", string(got) == before)
		require.True(t, json.Valid(got))
		again, doneAgain, err := r.Redact(got, done)
		require.NoError(t, err)
		require.Equal(t, string(got), string(again))
		require.Equal(t, done, doneAgain)
		if !repeatsNames(payload) {
			require.True(t, same(expected(t, r, nil, tree(t, payload)), tree(t, got)), "%s became %s", payload, got)
		}
		if parseErr == nil {
			requireEvent(t, r, e, got)
		}
	})
}

// requireEvent wants an event to be what its redacted payload says.
func requireEvent(t *testing.T, r *privacy.Rules, e event.Event, payload []byte) {
	redacted, _, err := r.Event(e, "")
	require.NoError(t, err)
	require.Equal(t, string(payload), string(redacted.Payload))
	if e.OperationToken == "" {
		require.Equal(t, e.PartitionKey(), redacted.PartitionKey())
		return
	}
	read, err := event.Parse(payload)
	require.NoError(t, err)
	require.Equal(t, read.OperationToken, redacted.OperationToken)
	require.Equal(t, hashOf(t, r, e.OperationToken), redacted.PartitionKey())
	require.Equal(t, e.ID+e.Type+e.TransactionNum, read.ID+read.Type+read.TransactionNum)
}

func BenchmarkEvent(b *testing.B) {
	payload := head + `"username":"jane@example.com","data":{"email":"jane@example.com","phone":"+1 555 0100","images":["` +
		strings.Repeat("x", 400) + `","` + strings.Repeat("y", 400) + `"],"address":{"street":"` + strings.Repeat("z", 100) + `","zip":"12345"},` +
		`"policyDecision":"approve","userAssertionList":[{"username":"jane","assertions":{"face":"pass","voice":"pass"}}],"score":0.98}}`
	e := parsed(b, payload)
	for name, r := range map[string]*privacy.Rules{
		"no rule":             nil,
		"4 rules, no match":   rules(b, "$.a,$.data.b", "$.c,$.data.d"),
		"4 rules, all match":  rules(b, "$.username,$.data.images[*]", "$.data.email,$.data.phone"),
		"4 rules, any depth":  rules(b, "$..username,$..zip", "$..email,$..phone"),
		"4 rules, 4 dropped":  rules(b, "$.username,$.data.images,$.data.email,$.data.phone", ""),
		"4 rules, with token": rules(b, "$.username,$.data.images", "$.data.email,$.operationToken"),
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(payload)))
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := r.Event(e, ""); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// FuzzCheck: what is accepted redacts without harm, and is told so that it can be read
// again.
func FuzzCheck(f *testing.F) {
	for _, seed := range []string{
		"$.username", "$.data.*.value", "$..ssn", "$['odd name']", `$["a;b,c"]`, `$['\ud83d\ude00']`, "$.data.images[0]", "$..[*]",
		"$.é..*", "$", "$.data..[1]['x']", `$['\\;']`, `$['it\'s "so"']`,
	} {
		f.Add(seed)
	}
	const payload = `{"id":"i","username":1,"data":{"a;b,c":[1,{"x":"y"}],"images":["z"]},"it's \"so\"":{"\\;":[[{}]]},"a;b,c":2}`
	f.Fuzz(func(t *testing.T, path string) {
		if privacy.Check(path) != nil {
			return
		}
		drops, err := privacy.New([]string{path}, nil, key)
		require.NoError(t, err)
		hashes, err := privacy.New(nil, []string{path}, key)
		require.NoError(t, err)
		for verb, r := range map[string]*privacy.Rules{"drop=": drops, "hash=": hashes} {
			got, done, err := r.Redact([]byte(payload), "")
			require.NoError(t, err)
			require.True(t, json.Valid(got))
			require.Equal(t, done == "", string(got) == payload)
			if done != "" {
				told, ok := strings.CutPrefix(string(done), verb)
				require.True(t, ok)
				require.NotContains(t, told, ",")
				require.NotContains(t, told, ";")
				require.NoError(t, privacy.Check(told))
			}
			require.Contains(t, string(got), `"id":"i"`)
		}
	})
}
