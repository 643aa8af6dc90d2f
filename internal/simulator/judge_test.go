package simulator_test

import (
	"crypto/sha256"
	"testing"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/simulator"
)

func TestJudge(t *testing.T) {
	deliveries := []simulator.Delivery{
		{ID: "a", Digest: sha256.Sum256([]byte("1"))},
		{ID: "b", Digest: sha256.Sum256([]byte("2")), Lost: true},
	}
	record := func(id, value string) simulator.Record {
		return simulator.Record{Value: []byte(value), Headers: []simulator.Header{{Key: "ce_id", Value: id}}}
	}
	a, b := record("a", "1"), record("b", "2")
	cases := map[string]struct {
		records []simulator.Record
		off     string
	}{
		"all":     {[]simulator.Record{b, a}, ""},
		"missing": {[]simulator.Record{a}, "1 not in Kafka"},
		"twice":   {[]simulator.Record{a, b, a}, "1 there more than once"},
		"altered": {[]simulator.Record{a, record("b", "3")}, "1 altered"},
		"foreign": {[]simulator.Record{a, b, record("c", "3")}, "1 of no event of this run"},
		"none":    {nil, "2 not in Kafka"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			err := simulator.Judge(deliveries, tc.records)
			if tc.off == "" {
				require.NoError(t, err)
				return
			}
			require.EqualError(t, err, tc.off)
		})
	}
}
