// Package event is the gateway's vocabulary: what an AwareID event is, which
// family it belongs to, how it looks as a CloudEvent, and what a claim on it
// says. It is pure: no I/O, no clock, nothing of ours below it.
//
// The source of the event's form is the AwareID REST reference 12.1, section
// "Registration", callback payload.
package event

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Family is the part of a type that decides about the topic.
type Family string

// The three families of the reference, and the one for everything else.
const (
	Enrollment     Family = "enrollment"
	Authentication Family = "authentication"
	Reenrollment   Family = "reenrollment"
	Other          Family = "other"
)

// Families lists all families, Other last.
func Families() []Family {
	return []Family{Enrollment, Authentication, Reenrollment, Other}
}

// Types lists the 24 event types of the reference, in its order. The gateway
// accepts others too: the platform may add some.
func Types() []string {
	return []string{
		"enrollment.started", "enrollment.cancelled", "enrollment.device.added",
		"enrollment.face.check", "enrollment.voice.check", "enrollment.ocr.check",
		"enrollment.icao.check", "enrollment.b2c.started", "enrollment.b2c.completed",
		"enrollment.completed",
		"authentication.started", "authentication.cancelled", "authentication.face.check",
		"authentication.voice.check", "authentication.b2c.started", "authentication.b2c.completed",
		"authentication.completed",
		"reenrollment.started", "reenrollment.cancelled", "reenrollment.face.check",
		"reenrollment.voice.check", "reenrollment.b2c.started", "reenrollment.b2c.completed",
		"reenrollment.completed",
	}
}

// Event is one thing that happened on the platform. The strings are its own;
// Payload is the memory that was parsed.
type Event struct {
	ID             string // 1–128 visible ASCII characters
	Type           string // 1–128 of letters, digits, '.', '_', '-'
	OperationToken string // at most 1024 bytes; "" where the platform names none
	Group          string // keeps the events of an operation together whose token is not to be told; "": the token does
	TransactionNum string // as written, without quotes; "" where there is none
	Created        time.Time
	Findings       Findings
	Payload        []byte // the plaintext, byte for byte as the platform sent it
}

// Family is decided by what stands before the first dot of the type.
func (e Event) Family() Family {
	name, _, _ := strings.Cut(e.Type, ".")
	if f := Family(name); f != Other && slices.Contains(Families(), f) {
		return f
	}
	return Other
}

// PartitionKey keeps the events of one operation in one partition. An event
// without an operation goes by its own id.
func (e Event) PartitionKey() string { return cmp.Or(e.Group, e.OperationToken, e.ID) }

// ClaimKey names the event among all events of all webhooks.
func (e Event) ClaimKey(webhookID string) string {
	return webhookID + "/" + e.ID
}

// QueueKey names the queue of the event's operation, "" where it has none.
func (e Event) QueueKey(webhookID string) string {
	operation := cmp.Or(e.Group, e.OperationToken)
	if operation == "" {
		return ""
	}
	return webhookID + "/" + operation
}

// AliasKey names the event by its transaction number, in the form of a claim
// key: the id may differ between a callback and the event data that is fetched
// later, the number does not. It is "" where there is no number. The type
// belongs to it: were a number to stand for a whole transaction, which the
// reference leaves open, the events of the transaction would still be told
// apart.
func (e Event) AliasKey(webhookID string) string {
	n, ok := e.Sequence()
	if !ok {
		return ""
	}
	key := make([]byte, 0, len(webhookID)+len(e.Type)+len("//")+maxSequenceDigits)
	key = append(append(append(append(key, webhookID...), '/'), e.Type...), '/')
	return string(strconv.AppendUint(key, n, 10))
}

// maxSequence is the first number that does not count as one: the Lua of Redis
// computes with float64, which cannot tell it from its successor.
const (
	maxSequence       = 1 << 53
	maxSequenceDigits = len("9007199254740991")
)

// Sequence is the transaction number as a number, and false where there is
// none, or it is not a decimal one below 2^53. Only numbers can show holes.
func (e Event) Sequence() (uint64, bool) {
	n, err := strconv.ParseUint(e.TransactionNum, 10, 64)
	if err != nil || n >= maxSequence {
		return 0, false
	}
	return n, true
}

// Header is one header of a Kafka record.
type Header struct {
	Key   string
	Value []byte
}

// Source is the CloudEvents source of all events of a webhook.
func Source(webhookID string) string { return sourcePrefix + webhookID }

const sourcePrefix = "/awareid/webhooks/"

// Identity is the pair of headers that no two records in Kafka share
// (CloudEvents 1.0, section 3.1: source and id together are unique).
func (e Event) Identity(webhookID string) []Header {
	return []Header{
		{"ce_id", []byte(e.ID)},
		{"ce_source", []byte(Source(webhookID))},
	}
}

// headerNumber holds a transaction number in its shortest decimal form, so that
// one number has one form whatever way the event came.
const headerNumber = "aware-transaction-num"

// AliasIdentity is what all records of an event share, under whatever id it
// came; nil where it has no AliasKey.
func (e Event) AliasIdentity(webhookID string) []Header {
	n, ok := e.Sequence()
	if !ok {
		return nil
	}
	return []Header{
		{headerNumber, strconv.AppendUint(nil, n, 10)},
		{"ce_source", []byte(Source(webhookID))},
		{"ce_type", []byte(e.Type)},
	}
}

// Headers describes the event in the binary mode of the CloudEvents 1.0
// binding for Kafka, and behind that by its number and its findings, where it
// has some. The slice has room for a few more; the values share memory that
// nothing else uses.
func (e Event) Headers(webhookID string) []Header {
	const usual = 160 // bytes of the values whose length is not added up
	l := headerList{
		headers: make([]Header, 0, 14),
		values:  make([]byte, 0, usual+len(e.ID)+len(e.Type)+len(webhookID)+len(e.OperationToken)),
	}
	l.add("ce_specversion", "1.0")
	l.add("ce_id", e.ID)
	l.add("ce_type", e.Type)
	l.add("ce_source", sourcePrefix, webhookID)
	l.end("ce_time", e.Created.AppendFormat(l.values, time.RFC3339Nano))
	l.addIf("ce_subject", e.OperationToken)
	l.add("content-type", "application/json")
	if n, ok := e.Sequence(); ok {
		l.end(headerNumber, strconv.AppendUint(l.values, n, 10))
	}
	e.Findings.addTo(&l)
	return l.headers
}

// headerList gathers headers whose values lie in one piece of memory. Where that
// is too small, those so far stay where they are.
type headerList struct {
	headers []Header
	values  []byte
}

func (l *headerList) add(key string, value ...string) {
	values := l.values
	for _, part := range value {
		values = append(values, part...)
	}
	l.end(key, values)
}

func (l *headerList) addIf(key, value string) {
	if value != "" {
		l.add(key, value)
	}
}

// end adds a header whose value was appended to the values.
func (l *headerList) end(key string, values []byte) {
	value := values[len(l.values):len(values):len(values)]
	l.headers, l.values = append(l.headers, Header{key, value}), values
}

// Past is the event that a record of this webhook's holds, as far as its
// headers say what names it: id, type and transaction number. It is false where
// the gateway did not write the record as an event.
func Past(headers []Header) (e Event, webhookID string, ok bool) {
	for _, h := range headers {
		switch h.Key {
		case "ce_id":
			e.ID = string(h.Value)
		case "ce_type":
			e.Type = string(h.Value)
		case "ce_source":
			webhookID, ok = strings.CutPrefix(string(h.Value), Source(""))
		case headerNumber:
			e.TransactionNum = string(h.Value)
		}
	}
	return e, webhookID, ok && e.ID != ""
}
