package main

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/event"
	"awareid-gateway/internal/simulator"
)

// username stands in every sample, and must not show up in any log.
const username = "jürgen.müller@example.com"

// sample is an event in plaintext, written so that nobody who parses it and
// writes it again comes to the same bytes.
type sample struct {
	id, eventType, operation string
	number                   uint64 // of the transaction, its own
	created                  string // as the platform writes it
	body                     []byte
}

func newSample(eventType string) sample { return sampleOf(eventType, uuid.NewString()) }

// sampleOf is a sample of an operation; "" for none.
func sampleOf(eventType, operation string) sample {
	return sampleAt(eventType, operation, time.Now())
}

func sampleAt(eventType, operation string, created time.Time) sample {
	s := sample{
		id: uuid.NewString(), number: rand.Uint64N(1 << 53), eventType: eventType, operation: operation,
		created: created.In(time.FixedZone("", -5*60*60)).Format("2006-01-02T15:04:05") + ".889-0500",
	}
	token := ""
	if operation != "" {
		token = fmt.Sprintf(`"operationToken":%q ,`, operation)
	}
	s.body = fmt.Appendf(nil, `{ "type":%q,"id":%q, "created":%q,%s"username":%q,"data":{"transactionNum":%d,"score":1.50e+1,"note":"<&>\u00e9\/ 😀","x":null}}`,
		eventType, s.id, s.created, token, username, s.number)
	return s
}

// key of the record.
func (s sample) key() string {
	if s.operation != "" {
		return s.operation
	}
	return s.id
}

// headers are the record's as README.md, "The Kafka record" has them, without the last,
// gateway-received-at.
func (s sample) headers(hookID string) []simulator.Header {
	h := []simulator.Header{
		{Key: "ce_specversion", Value: "1.0"},
		{Key: "ce_id", Value: s.id},
		{Key: "ce_type", Value: s.eventType},
		{Key: "ce_source", Value: "/awareid/webhooks/" + hookID},
		{Key: "ce_time", Value: strings.TrimSuffix(s.created, "-0500") + "-05:00"},
	}
	if s.operation != "" {
		h = append(h, simulator.Header{Key: "ce_subject", Value: s.operation})
	}
	return append(h,
		simulator.Header{Key: "content-type", Value: "application/json"},
		simulator.Header{Key: "aware-transaction-num", Value: strconv.FormatUint(s.number, 10)},
		simulator.Header{Key: "gateway-origin", Value: "callback"})
}

// requireRecord wants a record to be a sample in each part, with the extra
// headers at its end.
func requireRecord(t *testing.T, s sample, hookID, topic string, r simulator.Record, extra ...simulator.Header) {
	t.Helper()
	require.Equal(t, topic, r.Topic)
	require.Equal(t, s.key(), r.Key)
	require.Equal(t, string(s.body), string(r.Value))
	received := r.Header("gateway-received-at")
	want := append(s.headers(hookID), simulator.Header{Key: "gateway-received-at", Value: received})
	require.Equal(t, append(want, extra...), r.Headers)
	at, err := time.Parse(time.RFC3339Nano, received)
	require.NoError(t, err)
	require.WithinDuration(t, time.Now(), at, 2*patience)
	require.True(t, strings.HasSuffix(received, "Z"), received)
}

// byID finds the one record of a sample.
func byID(t *testing.T, records []simulator.Record, s sample) simulator.Record {
	t.Helper()
	var found []simulator.Record
	for _, r := range records {
		if r.Header("ce_id") == s.id {
			found = append(found, r)
		}
	}
	require.Len(t, found, 1)
	return found[0]
}

// familyOf is decided here by the reference's list, not by the code under test.
func familyOf(eventType string) event.Family {
	switch before, _, _ := strings.Cut(eventType, "."); before {
	case "enrollment":
		return event.Enrollment
	case "authentication":
		return event.Authentication
	case "reenrollment":
		return event.Reenrollment
	}
	return event.Other
}
