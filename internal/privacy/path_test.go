package privacy_test

import (
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/privacy"
)

func TestPathsOfTheGrammar(t *testing.T) {
	for _, path := range []string{
		"$.username", "$.data.email", "$.data.*.value", "$.data.images[*]", "$.data.images[0]", "$..ssn",
		"$['odd name']", `$["odd name"]`, "$.data['a'][\"b\"].c", "$..['ssn']", "$.data..*", "$.data..[*]", "$.data..[3]",
		"$._x", "$.é", "$.x1", "$['']", `$['it\'s']`, `$["say \"so\""]`, `$['"']`, `$["'"]`, `$['\u002c']`, `$['\ud83d\ude00']`,
		`$['a\\b']`, `$['\n']`, "$['a;b']", "$[7]", "$.data[2147483647]", "$.operationToken", "$.data", "$.data.*", "$.data[*]",
		"$.data..id", "$..data.id", "$.*.id", "$.ids", "$.data..transaction",
	} {
		require.NoError(t, privacy.Check(path), path)
	}
}

func TestPathsOutsideTheGrammar(t *testing.T) {
	for path, says := range map[string]string{
		"":                   "does not begin with $",
		"username":           "does not begin with $",
		"@.username":         "does not begin with $",
		" $.username":        "does not begin with $",
		"$":                  "the whole event",
		"$.":                 "wants a name",
		"$..":                "wants a name",
		"$...a":              "wants a name",
		"$.a.":               "wants a name",
		"$.odd-name":         "wants a dot or a bracket",
		"$.-a":               "$['odd name']",
		"$.1a":               "wants a name",
		"$a":                 "wants a dot or a bracket",
		"$ .a":               "wants a dot or a bracket",
		"$.a ":               "wants a dot or a bracket",
		"$.a\xff":            "wants a dot or a bracket",
		"$.['a']":            "wants a dot or a bracket",
		"$[]":                "wants a quoted name",
		"$[a]":               "wants a quoted name",
		"$[-1]":              "wants a quoted name",
		"$[01]":              "wants a quoted name",
		"$[2147483648]":      "wants a quoted name",
		"$[?(@.a)]":          "wants a quoted name",
		"$[0":                "] behind it",
		"$[0:2]":             "] behind it",
		"$['a','b']":         "] behind it",
		"$[*,0]":             "] behind it",
		"$[ 'a']":            "wants a quoted name",
		"$['a":               "without an end",
		`$['a\']`:            "without an end",
		`$['\x']`:            "no string",
		`$['\ud800']`:        "no string",
		"$['\xff']":          "no string",
		"$['a\nb']":          "no string",
		`$['\"']`:            "needs none",
		`$["\'"]`:            "needs none",
		"$.*":                "matches $.id",
		"$[*]":               "matches $.id",
		"$..*":               "matches $.id",
		"$.id":               "matches $.id",
		"$['id']":            "matches $.id",
		`$['\u0069d']`:       "matches $.id",
		"$..id":              "matches $.id",
		"$..type":            "matches $.type",
		"$.created":          "matches $.created",
		"$.transactionNum":   "matches $.transactionNum",
		"$..transactionNum":  "matches $.transactionNum",
		"$.*.transactionNum": "matches $.data.transactionNum",

		"$.data.transactionNum":  "matches $.data.transactionNum",
		"$.data..transactionNum": "matches $.data.transactionNum",
	} {
		err := privacy.Check(path)
		require.ErrorContains(t, err, says, path)
		require.ErrorContains(t, err, strconv.Quote(path))
		_, err = privacy.New([]string{path}, nil, key)
		require.ErrorContains(t, err, says, path)
		_, err = privacy.New(nil, []string{path}, key)
		require.ErrorContains(t, err, says, path)
	}
}
