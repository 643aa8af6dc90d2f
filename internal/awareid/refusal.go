package awareid

import (
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

const (
	maxCode    = 64  // characters of an errorCode
	maxMessage = 256 // bytes of an errorMsg
)

// document is the reference's error document. Its errorCode is a string for most
// calls and a number for some.
type document struct {
	Code      jsontext.Value `json:"errorCode"`
	Message   jsontext.Value `json:"errorMsg"`
	Status    jsontext.Value `json:"status"`
	Timestamp jsontext.Value `json:"timestamp"`
}

// refusal reads an answer other than a 2xx. secrets are what the request held.
func refusal(answer *http.Response, body []byte, secrets []string) *Error {
	e := describe(body, secrets)
	e.Status = answer.StatusCode
	e.RetryAfter = retryAfter(answer.Header, time.Now())
	return e
}

// refusalWithin returns the error document that came with a 2xx, nil where the
// body is none. The reference shows one as the only answer of some calls.
func refusalWithin(body []byte, secrets []string) *Error {
	if e := describe(body, secrets); e.Status >= 300 && e.Code != "" {
		return e
	}
	return nil
}

// describe reads an error document. What is not there, or not as it should be,
// stays zero.
func describe(body []byte, secrets []string) *Error {
	var d document
	if err := json.Unmarshal(body, &d, lenient()...); err != nil {
		return &Error{}
	}
	e := &Error{Code: code(masked(scalar(d.Code), secrets)), Message: masked(scalar(d.Message), secrets)}
	e.Status, _ = strconv.Atoi(scalar(d.Status))
	e.Timestamp, _ = time.Parse(time.RFC3339, scalar(d.Timestamp)) // zero where it is in no such form
	return e
}

// lenient are the options for what is passed on or only half of interest: one bad
// character in an event must not spoil the list that it stands in.
func lenient() []json.Options {
	return []json.Options{jsontext.AllowInvalidUTF8(true), jsontext.AllowDuplicateNames(true)}
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

// code returns an errorCode that has the form of one. Others are dropped: they
// may hold anything.
func code(s string) string {
	form := func(r rune) bool {
		return 'A' <= r && r <= 'Z' || 'a' <= r && r <= 'z' || '0' <= r && r <= '9' || strings.ContainsRune("_.-", r)
	}
	if len(s) > maxCode || strings.ContainsFunc(s, func(r rune) bool { return !form(r) }) {
		return ""
	}
	return s
}

// masked returns text without the secrets in it, in any of the forms in which a
// server would echo them, and cut to its bound.
func masked(text string, secrets []string) string {
	const mask = "[…]"
	var forms []string
	for _, s := range secrets {
		if s != "" {
			forms = append(forms, s, quoted(s), url.QueryEscape(s), url.PathEscape(s))
		}
	}
	// The longest first: one may begin like another.
	slices.SortFunc(forms, func(a, b string) int { return len(b) - len(a) })
	var pairs []string
	for _, form := range forms {
		pairs = append(pairs, form, mask)
	}
	text = strings.NewReplacer(pairs...).Replace(text)
	if len(text) > maxMessage {
		text = strings.ToValidUTF8(text[:maxMessage], "") + "…"
	}
	return text
}

// quoted returns s as it stands in a JSON string.
func quoted(s string) string {
	text, _ := jsontext.AppendQuote(nil, s) // its error is about bytes that it has replaced
	return string(text[1 : len(text)-1])
}

// retryAfter reads the header by RFC 9110, section 10.2.3: seconds, or a date,
// which is compared with the answer's own where it has one. What cannot be read
// is 0.
func retryAfter(h http.Header, now time.Time) time.Duration {
	value := strings.TrimSpace(h.Get("Retry-After"))
	if seconds, err := strconv.ParseUint(value, 10, 64); err == nil || isDigits(value) {
		const most = math.MaxInt64 / uint64(time.Second)
		return time.Duration(min(seconds, most)) * time.Second
	}
	until, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	if date, err := http.ParseTime(h.Get("Date")); err == nil {
		now = date
	}
	return max(0, until.Sub(now))
}

// isDigits reports whether s is a number, of any size: ParseUint answers the
// largest for those that are too large.
func isDigits(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

// visible reports whether s is 1 to most visible ASCII characters, which may
// stand in a header, a path and a log line.
func visible(s string, most int) bool {
	return s != "" && len(s) <= most && strings.IndexFunc(s, func(r rune) bool { return r < '!' || r > '~' }) < 0
}
