package dispatch_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/dispatch"
	"awareid-gateway/internal/event"
)

func TestTheMostSpecificRouteWins(t *testing.T) {
	list := []dispatch.Route{
		{"*", "all"},
		{"enrollment.*", "enrollment"},
		{"enrollment.b2c.*", "enrollment.b2c"},
		{"enrollment.completed", "kyc.done"},
		{"enrollment.b2c.completed", "b2c.done"},
		{"authentication.*", "auth.all"},
	}
	backwards := slices.Clone(list)
	slices.Reverse(backwards)
	for eventType, want := range map[string]string{
		"enrollment.completed":      "kyc.done",
		"enrollment.completed.late": "enrollment",
		"enrollment.started":        "enrollment",
		"enrollment.b2c.started":    "enrollment.b2c",
		"enrollment.b2c.completed":  "b2c.done",
		"enrollment":                "all", // "enrollment.*" wants the dot
		"enrollments.completed":     "all",
		"Enrollment.completed":      "all",
		"authentication.started":    "auth.all",
		"reenrollment.completed":    "all",
		"x":                         "all",
	} {
		for name, routes := range map[string][]dispatch.Route{"as written": list, "backwards": backwards} {
			require.Equal(t, want, dispatch.NewRoutes("p", routes).Topic(event.Event{Type: eventType}), "%s, %s", eventType, name)
		}
	}
}

func TestWithoutARouteTheFamilyDecides(t *testing.T) {
	for eventType, want := range map[string]string{
		"enrollment.completed":     "events.enrollment",
		"authentication.b2c.start": "events.authentication",
		"reenrollment.cancelled":   "events.reenrollment",
		"billing.closed":           "events.other",
		"other.thing":              "events.other",
		"quarantine.thing":         "events.other", // no type leads into the quarantine
		"enrollment":               "events.enrollment",
	} {
		routes := dispatch.NewRoutes("events", []dispatch.Route{{"enrollment.voice.*", "voice"}})
		require.Equal(t, want, routes.Topic(event.Event{Type: eventType}), eventType)
	}
}

func TestNewRoutesLeavesItsArgumentAlone(t *testing.T) {
	list := []dispatch.Route{{"*", "all"}, {"a.b", "exact"}}
	dispatch.NewRoutes("p", list)
	require.Equal(t, dispatch.Route{"*", "all"}, list[0])
}

func TestTopicsAreAllThatCanBeWrittenTo(t *testing.T) {
	require.Equal(t,
		[]string{"p.authentication", "p.enrollment", "p.other", "p.quarantine", "p.reenrollment"},
		dispatch.NewRoutes("p", nil).Topics())

	routes := dispatch.NewRoutes("p", []dispatch.Route{
		{"enrollment.*", "z"}, {"authentication.started", "a"}, {"authentication.completed", "a"}, {"x.*", "p.enrollment"},
	})
	topics := routes.Topics()
	require.Equal(t,
		[]string{"a", "p.authentication", "p.enrollment", "p.other", "p.quarantine", "p.reenrollment", "z"},
		topics, "sorted, each once")
	require.Contains(t, topics, routes.Quarantine())
	for _, eventType := range append(event.Types(), "x.y", "unheard.of") {
		require.Contains(t, topics, routes.Topic(event.Event{Type: eventType}))
	}
}
