package dispatch

import (
	"bytes"
	"iter"

	"github.com/segmentio/kafka-go"

	"awareid-gateway/internal/event"
)

// index finds who wants a record, by the first header that each one wants: by
// its key, and then by its value.
type index map[string]map[string][]*wanted

func indexOf(waiting []*wanted) index {
	x := index{}
	for _, w := range waiting {
		h := w.headers[0]
		if x[h.Key] == nil {
			x[h.Key] = map[string][]*wanted{}
		}
		x[h.Key][string(h.Value)] = append(x[h.Key][string(h.Value)], w)
	}
	return x
}

// matching yields those who want a record with these headers.
func (x index) matching(headers []kafka.Header) iter.Seq[*wanted] {
	return func(yield func(*wanted) bool) {
		for _, h := range headers {
			for _, w := range x[h.Key][string(h.Value)] {
				if hasAll(headers, w.headers) && !yield(w) {
					return
				}
			}
		}
	}
}

func hasAll(have []kafka.Header, want []event.Header) bool {
	for _, w := range want {
		if !has(have, w) {
			return false
		}
	}
	return true
}

func has(have []kafka.Header, want event.Header) bool {
	for _, h := range have {
		if h.Key == want.Key && bytes.Equal(h.Value, want.Value) {
			return true
		}
	}
	return false
}
