package dispatch

import (
	"cmp"
	"slices"
	"strings"

	"awareid-gateway/internal/event"
)

// Route sends the types that a pattern names to a topic. A pattern is a whole
// type, a beginning followed by ".*", or "*" for all.
type Route struct{ Pattern, Topic string }

// Routes decides about topics. The zero value routes nothing.
type Routes struct {
	prefix string
	routes []Route // the most specific first
}

// NewRoutes returns the topics {prefix}.{family}, overridden by routes. Of the
// patterns that match a type the most specific counts: the type itself, then
// the longest beginning.
func NewRoutes(prefix string, routes []Route) Routes {
	sorted := slices.SortedStableFunc(slices.Values(routes), func(a, b Route) int {
		return cmp.Compare(specificity(b.Pattern), specificity(a.Pattern))
	})
	return Routes{prefix: prefix, routes: sorted}
}

// specificity orders patterns: any whole type ahead of any beginning.
func specificity(pattern string) int {
	if beginning, wild := strings.CutSuffix(pattern, "*"); wild {
		return len(beginning)
	}
	return event.MaxNameBytes + 1
}

func (r Route) matches(eventType string) bool {
	if beginning, wild := strings.CutSuffix(r.Pattern, "*"); wild {
		return strings.HasPrefix(eventType, beginning)
	}
	return eventType == r.Pattern
}

// Topic returns the topic of an event.
func (r Routes) Topic(e event.Event) string {
	for _, route := range r.routes {
		if route.matches(e.Type) {
			return route.Topic
		}
	}
	return r.prefix + "." + string(e.Family())
}

// Quarantine returns the topic of what is authentic and yet no event.
func (r Routes) Quarantine() string { return r.prefix + ".quarantine" }

// Topics lists every topic that can be written to, sorted.
func (r Routes) Topics() []string {
	topics := []string{r.Quarantine()}
	for _, family := range event.Families() {
		topics = append(topics, r.prefix+"."+string(family))
	}
	for _, route := range r.routes {
		topics = append(topics, route.Topic)
	}
	slices.Sort(topics)
	return slices.Compact(topics)
}
