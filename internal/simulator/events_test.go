package simulator_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/simulator"
)

var noon = time.Date(2022, 2, 16, 19, 33, 11, 889e6, time.UTC)

func generator(t testing.TB, o simulator.GeneratorOptions) *simulator.Generator {
	t.Helper()
	o.Now = func() time.Time { return noon }
	g, err := simulator.NewGenerator(o)
	require.NoError(t, err)
	return g
}

func take(t testing.TB, g *simulator.Generator, n int) []simulator.Event {
	t.Helper()
	events := make([]simulator.Event, n)
	for i := range events {
		var err error
		events[i], err = g.Next()
		require.NoError(t, err)
	}
	return events
}

func TestTypesAreTheReferences(t *testing.T) {
	types := simulator.Types()
	require.Len(t, types, 24)
	families := make(map[string]int)
	for _, eventType := range types {
		family, _, _ := strings.Cut(eventType, ".")
		families[family]++
	}
	require.Equal(t, map[string]int{"enrollment": 10, "authentication": 7, "reenrollment": 7}, families)
}

func TestGeneratorRepeatsItself(t *testing.T) {
	o := simulator.GeneratorOptions{Seed: 7, Size: 2000}
	require.Equal(t, take(t, generator(t, o), 300), take(t, generator(t, o), 300))
	o2 := o
	o2.Seed = 8
	require.NotEqual(t, take(t, generator(t, o), 1), take(t, generator(t, o2), 1))
}

func TestGeneratorFollowsThePlatformsForm(t *testing.T) {
	seen := make(map[string]bool)
	for i, e := range take(t, generator(t, simulator.GeneratorOptions{Seed: 1}), 1000) {
		var body struct {
			ID, Created, Type, OperationToken, Username string
			Data                                        struct{ TransactionNum int64 }
		}
		require.NoError(t, json.Unmarshal(e.Body, &body))
		require.Equal(t, "2022-02-16T14:33:11.889-0500", body.Created)
		require.Equal(t, []string{e.ID, e.Type, e.OperationToken}, []string{body.ID, body.Type, body.OperationToken})
		require.NotEmpty(t, body.Username)
		require.Equal(t, int64(i+1), e.TransactionNum)
		require.Equal(t, e.TransactionNum, body.Data.TransactionNum)
		require.NoError(t, uuid.Validate(e.ID))
		require.NoError(t, uuid.Validate(e.OperationToken))
		require.False(t, seen[e.ID])
		seen[e.ID] = true
	}
}

func TestGeneratorRunsOperationsThroughTheirLives(t *testing.T) {
	operations, types := make(map[string][]simulator.Event), make(map[string]bool)
	for _, e := range take(t, generator(t, simulator.GeneratorOptions{Seed: 1}), 3000) {
		operations[e.OperationToken] = append(operations[e.OperationToken], e)
		types[e.Type] = true
	}
	require.Len(t, types, 24)
	complete := 0
	for _, events := range operations {
		first, last := events[0], events[len(events)-1]
		family, _, _ := strings.Cut(first.Type, ".")
		require.Equal(t, family+".started", first.Type)
		for i, e := range events {
			require.True(t, strings.HasPrefix(e.Type, family+"."))
			require.Equal(t, e.Last, i == len(events)-1 && (e.Type == family+".completed" || e.Type == family+".cancelled"))
		}
		if last.Last {
			complete++
		}
	}
	require.Greater(t, complete, 500)
}

func TestGeneratorPlacesTheTransactionNumber(t *testing.T) {
	for _, tt := range []struct {
		place     string
		text      bool
		top, data any
	}{
		{"", false, nil, 41.0},
		{simulator.InData, true, nil, "41"},
		{simulator.TopLevel, false, 41.0, nil},
		{simulator.TopLevel, true, "41", nil},
		{simulator.Nowhere, false, nil, nil},
	} {
		t.Run(fmt.Sprint(tt.place, tt.text), func(t *testing.T) {
			g := generator(t, simulator.GeneratorOptions{TransactionFrom: 41, TransactionPlace: tt.place, TransactionText: tt.text})
			e := take(t, g, 1)[0]
			require.Equal(t, int64(41), e.TransactionNum)
			var body map[string]any
			require.NoError(t, json.Unmarshal(e.Body, &body))
			require.Equal(t, tt.top, body["transactionNum"])
			require.Equal(t, tt.data, body["data"].(map[string]any)["transactionNum"])
		})
	}
}

func TestGeneratorPadsToSize(t *testing.T) {
	for _, size := range []int{2000, 2001, 1 << 16} {
		for _, e := range take(t, generator(t, simulator.GeneratorOptions{Size: size}), 20) {
			require.Len(t, e.Body, size)
			require.True(t, json.Valid(e.Body))
		}
	}
}

func TestGeneratorKeepsToTheWantedTypes(t *testing.T) {
	wanted := []string{"enrollment.completed", "reenrollment.started"}
	for _, e := range take(t, generator(t, simulator.GeneratorOptions{Types: wanted}), 200) {
		require.True(t, slices.Contains(wanted, e.Type))
		require.True(t, e.Last)
	}
}

func TestGeneratorRefuses(t *testing.T) {
	_, err := simulator.NewGenerator(simulator.GeneratorOptions{Types: []string{"enrollment.begun"}})
	require.ErrorContains(t, err, "enrollment.begun")
	_, err = simulator.NewGenerator(simulator.GeneratorOptions{TransactionPlace: "header"})
	require.ErrorContains(t, err, "header")
}
