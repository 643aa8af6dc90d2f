package privacy_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/privacy"
)

// key is 0, 1, 2 and so on; the hashes below were made from it with Python's hmac.
var key = func() []byte {
	k := make([]byte, 32)
	for i := range k {
		k[i] = byte(i)
	}
	return k
}()

const (
	hashOfJane    = "hmac-sha256:sHU3DaKi17T4uyYUgiHwNg2ZoHQgHbb1hl0obd6fQS8"
	hashOf17      = "hmac-sha256:xVMdIaGlbMCNnhlV57FuuOYYY4Er5cfDun2LeEZMF_s"
	hashOf100     = "hmac-sha256:z09T37S_mL66PqrUynhQsEv20TQncVvU5YTiAnhfqW4"
	hashOfE       = "hmac-sha256:G2b2g-zsTVAMeH9PHFPUBIl76cTdiDLwXtkL8hKueZw"
	hashOfNothing = "hmac-sha256:J5cJ-I3ySeGHH3weX-qn52wZJyjD_wDC5t1dY4S3218"
	hashOf1e53p1  = "hmac-sha256:sHawcJFkQUTr4Yv6P4xT6Wv6bHbLhACErhPsfrisoiQ" // 2^53+1
	hashOf1e53    = "hmac-sha256:0TjTqvNHK6NQl2mg1HynGbf2uBcnftNT5Tdn1fT7k34"
	hashOfObject  = "hmac-sha256:p42AKPWhgTlEgDQDbEqOfadnVWMhcEwM4aTbH7Xwi9w" // {"a":1,"b":[true,null]}
	hashOfOp1     = "hmac-sha256:lU-pGBdBs4ZfNipRk2VCW7LBuVNLmr2n5Etw94261fE"
)

func list(paths string) []string {
	if paths == "" {
		return nil
	}
	return strings.Split(paths, ",")
}

func rules(t testing.TB, drop, hash string) *privacy.Rules {
	t.Helper()
	r, err := privacy.New(list(drop), list(hash), key)
	require.NoError(t, err)
	return r
}

func TestDrop(t *testing.T) {
	for name, tc := range map[string]struct{ paths, in, want, done string }{
		"alone":                    {"$.a", `{"a":1}`, `{}`, "drop=$.a"},
		"alone, with space":        {"$.a", "{ \"a\" : 1 \n}", "{  \n}", "drop=$.a"},
		"first":                    {"$.a", `{"a":1,"b":2}`, `{"b":2}`, "drop=$.a"},
		"first, with space":        {"$.a", `{ "a": 1, "b": 2 }`, `{ "b": 2 }`, "drop=$.a"},
		"in the middle":            {"$.b", `{"a":1 , "b":2 , "c":3}`, `{"a":1 , "c":3}`, "drop=$.b"},
		"last":                     {"$.b", "{\n  \"a\":1,\n  \"b\":2\n}", "{\n  \"a\":1\n}", "drop=$.b"},
		"the first two":            {"$.a,$.b", `{"a":1,"b":2,"c":3}`, `{"c":3}`, "drop=$.a,$.b"},
		"all":                      {"$.a,$.b", `{"a":1, "b":2}`, `{}`, "drop=$.a,$.b"},
		"first and last":           {"$.a,$.c", `{"a":1,"b":2,"c":3}`, `{"b":2}`, "drop=$.a,$.c"},
		"every second":             {"$.a,$.c,$.e", `{"a":1,"b":2,"c":3,"d":4,"e":5,"f":6}`, `{"b":2,"d":4,"f":6}`, "drop=$.a,$.c,$.e"},
		"repeated names":           {"$.a", `{"a":1,"b":2,"a":3,"a":4}`, `{"b":2}`, "drop=$.a"},
		"escaped names":            {"$.username", `{"us\u0065rname":1,"username":2,"\u0075sername":3,"usernam\u0045":4}`, `{"usernam\u0045":4}`, "drop=$.username"},
		"names of other scripts":   {"$.名前", `{"\u540d\u524d":1,"x":"名前"}`, `{"x":"名前"}`, "drop=$.名前"},
		"an odd name":              {`$['a.b "c"']`, `{"a.b \"c\"":1,"d":2}`, `{"d":2}`, `drop=$['a.b "c"']`},
		"a comma in a name":        {`$['a\u002cb']`, `{"a,b":1,"d":2}`, `{"d":2}`, `drop=$['a\u002cb']`},
		"a comma in a name, bare":  {`$['a\u002cb'],$["c'd"]`, `{"a,b":1,"c'd":2}`, `{}`, `drop=$['a\u002cb'],$["c'd"]`},
		"a semicolon in a name":    {`$['a;b']`, `{"a;b":1,"d":2}`, `{"d":2}`, `drop=$['a\u003bb']`},
		"the empty name":           {`$['']`, `{"":1,"d":2}`, `{"d":2}`, `drop=$['']`},
		"null":                     {"$.a", `{"a":null}`, `{}`, "drop=$.a"},
		"deep":                     {"$.data.email", `{"email":0,"data":{"x":{"email":1},"email":2}}`, `{"email":0,"data":{"x":{"email":1}}}`, "drop=$.data.email"},
		"a whole object":           {"$.data", `{"id":"i","data":{"x":{"email":1},"email":2}}`, `{"id":"i"}`, "drop=$.data"},
		"any member":               {"$.data.*", `{"data":{"x":{"email":1},"email":2},"y":1}`, `{"data":{},"y":1}`, "drop=$.data.*"},
		"of any member":            {"$.data.*.value", `{"data":{"x":{"value":1,"k":2},"y":[{"value":3}],"value":4}}`, `{"data":{"x":{"k":2},"y":[{"value":3}],"value":4}}`, "drop=$.data.*.value"},
		"of any element":           {"$.data[*].value", `{"data":[{"value":1},2,[{"value":3}],{"k":4,"value":5}]}`, `{"data":[{},2,[{"value":3}],{"k":4}]}`, "drop=$.data[*].value"},
		"any element":              {"$.data.images[*]", `{"data":{"images":["a", {"b":1} ,[]]}}`, `{"data":{"images":[null, null ,null]}}`, "drop=$.data.images[*]"},
		"one element":              {"$.data.images[1]", `{"data":{"images":["a" , "b" , "c"]}}`, `{"data":{"images":["a" , null , "c"]}}`, "drop=$.data.images[1]"},
		"an element too far":       {"$.data.images[3]", `{"data":{"images":["a","b","c"]}}`, "", ""},
		"an element that is null":  {"$.a[*]", `{"a":[null]}`, "", ""},
		"an index is no name":      {"$.a[0]", `{"a":{"0":1}}`, "", ""},
		"a name is no index":       {"$.a['0']", `{"a":[1]}`, "", ""},
		"at any depth":             {"$..ssn", `{"ssn":1,"a":[{"ssn":2,"b":{"c":3,"ssn":{"ssn":4}}}],"ssnx":5}`, `{"a":[{"b":{"c":3}}],"ssnx":5}`, "drop=$..ssn"},
		"below any depth":          {"$..a.b", `{"a":{"a":{"b":1},"b":2},"b":3,"c":[{"a":{"b":4,"x":5}}]}`, `{"a":{"a":{}},"b":3,"c":[{"a":{"x":5}}]}`, "drop=$..a.b"},
		"two descents":             {"$..a..b", `{"a":{"x":{"b":1}},"b":2}`, `{"a":{"x":{}},"b":2}`, "drop=$..a..b"},
		"all below":                {"$.data..*", `{"data":{"a":{"b":1}},"b":2}`, `{"data":{},"b":2}`, "drop=$.data..*"},
		"elements at any depth":    {"$.data..[0]", `{"data":{"a":[1,[2,3]]}}`, `{"data":{"a":[null,[null,3]]}}`, "drop=$.data..[0]"},
		"case counts":              {"$.Username", `{"username":1}`, "", ""},
		"what is not there":        {"$.a.b.c", `{"a":{"b":7}}`, "", ""},
		"two paths, one matches":   {"$.a,$.b", `{"b":1}`, `{}`, "drop=$.b"},
		"two paths to one value":   {"$.a.b,$..b", `{"a":{"b":1,"c":2}}`, `{"a":{"c":2}}`, "drop=$.a.b,$..b"},
		"one path in another":      {"$.a,$.a.b", `{"a":{"b":1}}`, `{}`, "drop=$.a"},
		"values that look like it": {"$.a", `{"b":"\"a\":1,","c":"{\"a\":1}"}`, "", ""},
		"numbers stay as written":  {"$.a", `{"x":1.50e+1,"a":1,"y":1E400,"z":-0}`, `{"x":1.50e+1,"y":1E400,"z":-0}`, "drop=$.a"},
		"space around":             {"$.a", "\r\n{\"a\":1}\t", "\r\n{}\t", "drop=$.a"},
		"an array at the top":      {"$[*].a", `[{"a":1},{"b":2}]`, `[{},{"b":2}]`, "drop=$[*].a"},
		"a scalar at the top":      {"$.a", `"a"`, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := rules(t, tc.paths, "")
			got, done, err := r.Redact([]byte(tc.in), "")
			require.NoError(t, err)
			if tc.done == "" {
				tc.want = tc.in
			}
			require.Equal(t, tc.want, string(got))
			require.Equal(t, tc.done, string(done))
			again, done, err := r.Redact(got, done)
			require.NoError(t, err)
			require.Equal(t, string(got), string(again))
			require.Equal(t, tc.done, string(done))
		})
	}
}

func TestHash(t *testing.T) {
	for name, tc := range map[string]struct{ paths, in, want, done string }{
		"a string":                {"$.a", `{ "a" : "jane" , "b":1}`, `{ "a" : "` + hashOfJane + `" , "b":1}`, "hash=$.a"},
		"a string with escapes":   {"$.a", `{"a":"\u006aa\u006e\u0065"}`, `{"a":"` + hashOfJane + `"}`, "hash=$.a"},
		"not ASCII":               {"$.*.x", `{"a":{"x":"é"},"b":{"x":"\u00e9"}}`, `{"a":{"x":"` + hashOfE + `"},"b":{"x":"` + hashOfE + `"}}`, "hash=$.*.x"},
		"the empty string":        {"$.a", `{"a":""}`, `{"a":"` + hashOfNothing + `"}`, "hash=$.a"},
		"a number":                {"$.a", `{"a":17}`, `{"a":"` + hashOf17 + `"}`, "hash=$.a"},
		"a number, otherwise":     {"$.a", `{"a":1.7e1}`, `{"a":"` + hashOf17 + `"}`, "hash=$.a"},
		"a number, by exponent":   {"$.a[*]", `{"a":[100,1e2,100.0,1E+2]}`, `{"a":["` + hashOf100 + `","` + hashOf100 + `","` + hashOf100 + `","` + hashOf100 + `"]}`, "hash=$.a[*]"},
		"integers past a double":  {"$.a[*]", `{"a":[9007199254740993,9007199254740992]}`, `{"a":["` + hashOf1e53p1 + `","` + hashOf1e53 + `"]}`, "hash=$.a[*]"},
		"an object":               {"$.a", `{"a":{ "b" : [ true, null ], "\u0061" : 1.0 }}`, `{"a":"` + hashOfObject + `"}`, "hash=$.a"},
		"null stays":              {"$.a", `{"a":null}`, "", ""},
		"repeated names":          {"$.a", `{"a":"jane","a":17}`, `{"a":"` + hashOfJane + `","a":"` + hashOf17 + `"}`, "hash=$.a"},
		"one path in another":     {"$.a,$..b", `{"a":{"b":[true,null],"a":1}}`, `{"a":"` + hashOfObject + `"}`, "hash=$.a"},
		"what is not there":       {"$.b", `{"a":1}`, "", ""},
		"the look of a hash":      {"$.a", `{"a":"` + hashOfJane + `"}`, `{"a":"hmac-sha256:kdb`, "hash=$.a"},
		"an element in an object": {"$.a[1].b", `{"a":[0,{"b":"jane"}]}`, `{"a":[0,{"b":"` + hashOfJane + `"}]}`, "hash=$.a[1].b"},
	} {
		t.Run(name, func(t *testing.T) {
			r := rules(t, "", tc.paths)
			got, done, err := r.Redact([]byte(tc.in), "")
			require.NoError(t, err)
			require.Equal(t, tc.done, string(done))
			switch {
			case tc.done == "":
				require.Equal(t, tc.in, string(got))
			case name == "the look of a hash": // a sender could have made it up
				require.NotEqual(t, tc.in, string(got))
			default:
				require.Equal(t, tc.want, string(got))
			}
			if done != "" {
				again, done, err := r.Redact(got, done)
				require.NoError(t, err)
				require.Equal(t, string(got), string(again), "what is hashed already stays")
				require.Equal(t, tc.done, string(done))
			}
		})
	}
}

func TestDropWins(t *testing.T) {
	r := rules(t, "$.a,$.b.c", "$..a,$.b,$.d")
	got, done, err := r.Redact([]byte(`{"a":1,"b":{"a":1,"b":[true,null]},"d":"jane","e":{"a":17}}`), "")
	require.NoError(t, err)
	require.NotContains(t, string(got), "true")
	require.Contains(t, string(got), `"d":"`+hashOfJane+`","e":{"a":"`+hashOf17+`"}`)
	require.NotContains(t, string(got), `{"a":1`)
	require.Equal(t, "drop=$.a;hash=$..a,$.b,$.d", string(done))
}

func TestDoneGrows(t *testing.T) {
	got, done, err := rules(t, "$.a", "$.b").Redact([]byte(`{"a":1,"b":"jane","c":17,"d":5}`), "")
	require.NoError(t, err)
	require.Equal(t, "drop=$.a;hash=$.b", string(done))
	got, done, err = rules(t, "$.d", "$..b,$.c").Redact(got, done)
	require.NoError(t, err)
	require.Equal(t, `{"b":"`+hashOfJane+`","c":"`+hashOf17+`"}`, string(got))
	require.Equal(t, "drop=$.a,$.d;hash=$.b,$.c", string(done))
}

// TestOnePassAfterAnother: what was done to one payload is not told of the next.
func TestOnePassAfterAnother(t *testing.T) {
	r := rules(t, "$.a", "$.b")
	for range 10 {
		_, done, err := r.Redact([]byte(`{"a":1,"b":"jane"}`), "")
		require.NoError(t, err)
		require.EqualValues(t, "drop=$.a;hash=$.b", done)
		_, _, err = r.Redact([]byte(`{"a":1,"b":"ja`), "")
		require.Error(t, err)
		got, done, err := r.Redact([]byte(`{"c":{"a":1}}`), "")
		require.NoError(t, err)
		require.Empty(t, done)
		require.Equal(t, `{"c":{"a":1}}`, string(got))
	}
}

func TestAnotherKeyMakesOtherHashes(t *testing.T) {
	other, err := privacy.New(nil, []string{"$.a"}, make([]byte, 32))
	require.NoError(t, err)
	got, _, err := other.Redact([]byte(`{"a":"jane"}`), "")
	require.NoError(t, err)
	require.NotContains(t, string(got), hashOfJane)
	require.NotEqual(t, hashOfJane, hashOf(t, other, "jane"))
	require.Equal(t, hashOfJane, hashOf(t, rules(t, "", "$.a"), "jane"))
	_, err = other.Hash([]byte("hush"))
	require.EqualError(t, err, "not valid JSON")
}

// hashOf is the hash of a string.
func hashOf(t testing.TB, r *privacy.Rules, text string) string {
	t.Helper()
	quoted, err := json.Marshal(text)
	require.NoError(t, err)
	hashed, err := r.Hash(quoted)
	require.NoError(t, err)
	return hashed
}

func TestRedactRefusesWhatIsNoJSON(t *testing.T) {
	r := rules(t, "$.a", "$.b")
	for _, in := range []string{
		``, ` `, `{`, `{"a":hush}`, `{"b":"hush}`, `{"a":1}{"a":"hush"}`, `{"a":1} hush`, "{\"b\":\"hush\xff\"}", `{"b":"\ud800"}`,
		`{"a":1,}`, `{"a" 1}`, `{"b":01}`, `{"b":[1,]}`, `hush`, strings.Repeat(`{"b":`, 20_000), strings.Repeat(`[`, 20_000),
	} {
		got, done, err := r.Redact([]byte(in), "")
		require.EqualError(t, err, "not valid JSON", in)
		require.Nil(t, got)
		require.Empty(t, done)
	}
}

func TestNoRules(t *testing.T) {
	r, err := privacy.New(nil, nil, nil)
	require.NoError(t, err)
	got, done, err := r.Redact([]byte("no JSON"), "drop=$.x")
	require.NoError(t, err)
	require.Equal(t, "no JSON", string(got))
	require.EqualValues(t, "drop=$.x", done)
	require.Equal(t, privacy.Kept, r.Of("a"))
}

func TestKeys(t *testing.T) {
	for name, tc := range map[string]struct{ drop, hash string }{
		"hashing":              {"", "$.a"},
		"dropping the token":   {"$.operationToken", ""},
		"dropping it by depth": {"$..operationToken", ""},
	} {
		_, err := privacy.New(list(tc.drop), list(tc.hash), nil)
		require.ErrorIs(t, err, privacy.ErrNoKey, name)
		_, err = privacy.New(list(tc.drop), list(tc.hash), key[1:])
		require.EqualError(t, err, "privacy hash key: has 31 bytes, wants 32", name)
	}
	_, err := privacy.New([]string{"$.a", "$.data.operationToken"}, nil, nil)
	require.NoError(t, err)
}

func TestIsHash(t *testing.T) {
	require.True(t, privacy.IsHash(hashOfJane))
	for _, text := range []string{"", "hmac-sha256:", hashOfJane[1:], hashOfJane[:len(hashOfJane)-1], hashOfJane + "A", strings.Replace(hashOfJane, "s", "+", 2), hashOfJane[:len(hashOfJane)-1] + "="} {
		require.False(t, privacy.IsHash(text), text)
	}
}

func TestOf(t *testing.T) {
	r := rules(t, "$.a,$.data.x", "$.b,$.data.y,$.d")
	for want, members := range map[privacy.Treatment][][]string{
		privacy.Kept:    {{"c"}, {"data"}, {"data", "z"}, {"x"}},
		privacy.Hashed:  {{"b"}, {"data", "y"}, {"d"}},
		privacy.Dropped: {{"a"}, {"data", "x"}, {"a", "x"}, {"d", "x"}},
	} {
		for _, member := range members {
			require.Equal(t, want, r.Of(member...), member)
		}
	}
	require.Equal(t, privacy.Dropped, rules(t, "$.data.x", "$..x").Of("data", "x"))
	require.Equal(t, privacy.Hashed, rules(t, "$.data.y", "$..x").Of("data", "x"))
}
