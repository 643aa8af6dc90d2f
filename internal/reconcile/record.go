package reconcile

import (
	"fmt"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"awareid-gateway/internal/event"
)

// Record is a record of a topic. Its bytes are valid until the call that got it
// returns.
type Record struct {
	At      Position
	Time    time.Time
	Headers []event.Header
	Value   []byte
}

// Position is where a record lies.
type Position struct {
	event.Place
	Offset int64
}

// String is topic/partition@offset.
func (p Position) String() string { return fmt.Sprintf("%s/%d@%d", p.Topic, p.Partition, p.Offset) }

// facts are what the gateway's headers tell of an event.
type facts struct{ id, kind, source, operation string }

// read is false for a record that the gateway did not write.
func (r Record) read() (facts, bool) {
	var f facts
	for _, h := range r.Headers {
		switch h.Key {
		case "ce_id":
			f.id = string(h.Value)
		case "ce_type":
			f.kind = string(h.Value)
		case "ce_source":
			f.source = string(h.Value)
		case "ce_subject":
			f.operation = string(h.Value)
		}
	}
	return f, f.kind != "" && strings.HasPrefix(f.source, event.Source(""))
}

// completed is the type of event that is compared with the platform's list.
const completed = string(event.Enrollment) + ".completed"

// step is what a type of event means for its operation.
type step int

const (
	between step = iota
	begins
	ends
)

// stepOf goes by the last part of a type, and says whether it is of a B2C
// operation, which is of a family and the part "b2c".
func stepOf(kind string) (s step, b2c bool) {
	_, rest, _ := strings.Cut(kind, ".")
	switch rest[strings.LastIndexByte(rest, '.')+1:] {
	case "started":
		s = begins
	case "completed", "cancelled":
		s = ends
	}
	return s, strings.HasPrefix(rest, "b2c.")
}

// SessionToken is the member of a b2c.started event by which the platform is asked.
// The reference shows the operation token in its place too.
const SessionToken = "sessionToken"

// memberOf returns a member of an event's data, or else of the event itself, that
// is a string or a number, as text; false where there is none, or an empty one. Of
// several the last counts.
func memberOf(payload []byte, name string) (string, bool) {
	text := scalar(valueOf(payload, name))
	return text, text != ""
}

// valueOf is that member as it is written.
func valueOf(payload []byte, name string) jsontext.Value {
	top, ok := membersOf(payload)
	if !ok {
		return nil
	}
	if data, ok := membersOf(top["data"]); ok && scalar(data[name]) != "" {
		return data[name]
	}
	return top[name]
}

func membersOf(object []byte) (map[string]jsontext.Value, bool) {
	var members map[string]jsontext.Value
	err := json.Unmarshal(object, &members, jsontext.AllowInvalidUTF8(true), jsontext.AllowDuplicateNames(true))
	return members, err == nil
}

// scalar returns a string's characters or a number's digits, "" for all else.
func scalar(v jsontext.Value) string {
	switch v.Kind() {
	case jsontext.KindString:
		text, _ := jsontext.AppendUnquote(nil, v) // its error is about bytes that it has replaced
		return string(text)
	case jsontext.KindNumber:
		return string(v)
	}
	return ""
}
