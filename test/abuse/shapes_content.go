package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"
)

// content is a plaintext made hostile. The rule of event.Parse: what it reads must
// be there once and in its form, and the whole must be JSON in UTF-8; the rest is
// left alone and forwarded byte for byte.
type content struct {
	name string
	text string // {id} is a new id, {now} the time, {good} the other members of an event
	want int
}

const (
	taken     = http.StatusOK
	malformed = http.StatusAccepted // kept in quarantine
)

func contents() []content {
	data := func(json string) string { return `{"id":"{id}",{good},"data":` + json + `}` }
	return []content{
		{"an event", data(`{}`), taken},

		{"arrays, 5,000 deep", data(strings.Repeat("[", 5000) + strings.Repeat("]", 5000)), taken},
		{"arrays, 100,000 deep", data(strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000)), malformed},
		{"objects, 100,000 deep", data(strings.Repeat(`{"a":`, 100_000) + "0" + strings.Repeat("}", 100_000)), malformed},
		{"arrays, 100,000 deep, that do not end", data(strings.Repeat("[", 100_000)), malformed},

		{"a number of 100,000 digits", data(strings.Repeat("9", 100_000)), taken},
		{"an exponent that no float has", data(`1e999999999`), taken},
		{"a transaction number of 100,000 digits", data(`{"transactionNum":` + strings.Repeat("9", 100_000) + `}`), taken},
		{"a number with a leading zero", data(`01`), malformed},
		{"NaN", data(`NaN`), malformed},

		{"bytes that are no UTF-8", data("\"\xff\xfe\""), malformed},
		{"an overlong form", data("\"\xc0\xaf\""), malformed},
		{"a surrogate in UTF-8", data("\"\xed\xa0\x80\""), malformed},
		{"half an escaped surrogate", data(`"\ud800"`), malformed},
		{"no UTF-8 in a name", data("{\"\xff\":0}"), malformed},
		{"a mark of byte order", "\ufeff" + data(`{}`), malformed},
		{"UTF-16", "{\x00\"\x00i\x00d\x00\"\x00", malformed},
		{"NUL in a string", data("\"a\x00b\""), malformed},
		{"NUL behind the event", data(`{}`) + "\x00", malformed},
		{"NUL, escaped, in the id", `{"id":"a\u0000b",{good}}`, malformed},

		{"id twice", `{"id":"{id}","id":"another",{good}}`, malformed},
		{"id twice, the same", `{"id":"{id}","id":"{id}",{good}}`, malformed},
		{"id twice, one of them escaped", `{"id":"{id}",{good},"\u0069d":"another"}`, malformed},
		{"id twice, far apart", `{"id":"{id}",{good},"x":"` + strings.Repeat("x", 100_000) + `","id":"another"}`, malformed},
		{"type twice", `{"id":"{id}","type":"enrollment.completed",{good}}`, malformed},
		{"operationToken twice", `{"id":"{id}",{good},"operationToken":"another"}`, malformed},
		{"data twice", `{"id":"{id}",{good},"data":{},"data":{}}`, malformed},
		{"a transaction number twice in data", data(`{"transactionNum":1,"transactionNum":2}`), malformed},
		{"an id twice in data", data(`{"id":1,"id":2}`), taken},
		{"another member twice", `{"id":"{id}",{good},"x":1,"x":2}`, taken},
		{"a member 10,000 times", `{"id":"{id}",{good}` + strings.Repeat(`,"x":1`, 10_000) + `}`, taken},
		{"id in capitals besides", `{"id":"{id}","ID":"another",{good}}`, taken},

		{"no id", `{{good}}`, malformed},
		{"an id that is a number", `{"id":1,{good}}`, malformed},
		{"an id that is null", `{"id":null,{good}}`, malformed},
		{"an empty id", `{"id":"",{good}}`, malformed},
		{"an id of 129 characters", `{"id":"` + strings.Repeat("a", 129) + `",{good}}`, malformed},
		{"an id with a line feed", `{"id":"a\nb",{good}}`, malformed},
		{"a type with a slash", `{"id":"{id}","type":"../a","created":"{now}"}`, malformed},
		{"a token of 1,025 bytes", `{"id":"{id}","type":"enrollment.started","created":"{now}","operationToken":"` + strings.Repeat("a", 1025) + `"}`, malformed},
		{"no time", `{"id":"{id}","type":"enrollment.started"}`, malformed},
		{"a time that is none", `{"id":"{id}","type":"enrollment.started","created":"yesterday"}`, malformed},
		{"the year 9999", `{"id":"{id}","type":"enrollment.started","created":"9999-12-31T23:59:59.000-0000"}`, malformed},
		{"the year 0", `{"id":"{id}","type":"enrollment.started","created":"0000-01-01T00:00:00.000-0000"}`, malformed},

		{"two events", `{"id":"{id}",{good}}{"id":"another",{good}}`, malformed},
		{"an array of one event", `[{"id":"{id}",{good}}]`, malformed},
		{"a comment", `{"id":"{id}",{good}/**/}`, malformed},
		{"single quotes", `{'id':'{id}',{good}}`, malformed},
		{"half an event", `{"id":"{id}",{good}`, malformed},
		{"white space around", " \t\r\n" + data(`{}`) + " \t\r\n", taken},
		{"600 KB of escapes", data(`"` + strings.Repeat(`\u0041`, 100_000) + `"`), taken},
		{"an envelope in the envelope", `{"iv":"AAAAAAAAAAAAAAAA","p":"AAAAAAAAAAAAAAAAAAAAAAAA"}`, malformed},
		{"nothing", ``, malformed},
	}
}

// event makes the plaintext of a new event.
func (c content) event() (id string, event []byte) {
	id = uuid.NewString()
	good := fmt.Sprintf(`"type":"enrollment.started","created":%q,"operationToken":%q,"username":"nobody"`, now(), uuid.NewString())
	text := strings.NewReplacer("{good}", good, "{id}", id, "{now}", now()).Replace(c.text)
	return id, []byte(text)
}

func hostileContent(ctx context.Context, t target, r *report) {
	all := contents()
	g := t.ring()
	defer g.close()
	again(ctx, t, func() {
		for _, c := range all {
			id, event := c.event()
			g.post(ctx, r, c.name, c.want, id, event, seal(t.scheme(), event))
		}
	})
	r.note("%d contents", len(all))
}

// now is the time as the platform writes it.
func now() string { return time.Now().Format("2006-01-02T15:04:05.000-0700") }
