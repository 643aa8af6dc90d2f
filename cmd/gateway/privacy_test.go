package main

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/privacy"
	"awareid-gateway/internal/reconcile"
)

// TestConcealJoin tells of what is dropped wherever it is looked for, and says where
// it is dropped in one place only.
func TestConcealJoin(t *testing.T) {
	const (
		noJoin   = "reconciliation cannot join enrollments with events by person, which the privacy rules drop"
		noTokens = "reconciliation cannot find operations without an end: the privacy rules drop their tokens"
		noAsking = "reconciliation cannot ask the platform about B2C operations by sessionToken, which the privacy rules drop"
		inData   = "reconciliation cannot join enrollments with events by person in data, which the privacy rules drop"
		atTop    = "reconciliation cannot join enrollments with events by person outside data, which the privacy rules drop"
	)
	for title, tc := range map[string]struct {
		drop, hash []string
		hashes     bool
		blind      []string
	}{
		"nothing":                       {},
		"something else":                {drop: []string{"$.username", "$.data.email", "$.data.deep.person"}},
		"the field":                     {drop: []string{"$..person"}, blind: []string{noJoin}},
		"the field, by two paths":       {drop: []string{"$.person", "$.data.*"}, blind: []string{noJoin, "reconciliation cannot ask the platform about B2C operations by sessionToken in data, which the privacy rules drop"}},
		"the field in data":             {drop: []string{"$.data.person"}, blind: []string{inData}},
		"the field outside data":        {drop: []string{"$.person"}, blind: []string{atTop}},
		"the field, hashed":             {hash: []string{"$..person"}, hashes: true},
		"hashed in data, dropped above": {drop: []string{"$.person"}, hash: []string{"$.data.person"}, hashes: true, blind: []string{atTop}},
		"dropped in data, hashed above": {drop: []string{"$.data.person"}, hash: []string{"$.person"}, hashes: true, blind: []string{inData}},
		"session tokens":                {drop: []string{"$..sessionToken"}, blind: []string{noAsking}},
		"operation tokens":              {drop: []string{"$.operationToken"}, blind: []string{noTokens}},
		"operation tokens in data":      {drop: []string{"$.data.operationToken"}},
		"both tokens":                   {drop: []string{"$..operationToken", "$..sessionToken"}, blind: []string{noTokens}},
		"all":                           {drop: []string{"$..person", "$..operationToken"}, blind: []string{noJoin, noTokens}},
	} {
		t.Run(title, func(t *testing.T) {
			rules, err := privacy.New(tc.drop, tc.hash, bytes.Repeat([]byte{1}, 32))
			require.NoError(t, err)
			o := reconcile.Options{JoinField: "person"}
			require.Equal(t, tc.blind, concealJoin(&o, rules))
			require.Equal(t, tc.hashes, o.Hash != nil)
		})
	}
}
