package awareid

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// The causes that a caller may want to tell apart. Every error of a call that was
// sent wraps at least one of them, an [*Error], or the context's error.
var (
	// ErrUnauthorized: the platform takes neither a fresh token nor the API key,
	// or sells no token for these credentials (401, 403, any refusal of the token
	// but 429).
	ErrUnauthorized = errors.New("not authorized at AwareID")
	// ErrNotFound: there is no such thing (404).
	ErrNotFound = errors.New("unknown to AwareID")
	// ErrThrottled: too many calls (429), after as many tries as are allowed. See
	// [Error.RetryAfter].
	ErrThrottled = errors.New("throttled by AwareID")
	// ErrUnavailable: no answer, a 5xx, or an open circuit; later it may go better.
	ErrUnavailable = errors.New("AwareID is unavailable")
	// ErrMalformed: an answer that is not what the reference describes: no JSON, a
	// missing member, larger than the bound, a redirect.
	ErrMalformed = errors.New("malformed answer")
	// ErrOutcomeUnknown: a call that must not be made twice may have been carried
	// out, or not. What wraps it wraps the cause too.
	ErrOutcomeUnknown = errors.New("it is unknown whether it was done")
)

// Error is a refusal by the platform, as the reference shows it. Get at it with
// [errors.As]. The platform's words are bounded, and what the request held of
// secrets is masked in them.
type Error struct {
	Status     int           // of HTTP; the document's own where that came with a 2xx
	Code       string        // errorCode, such as INPUT_FORMAT_ERROR; "": none was told
	Message    string        // errorMsg; "": none was told
	Timestamp  time.Time     // by the platform's clock; zero: none was told
	RetryAfter time.Duration // how long the platform wants to be left alone; 0: not told

	ofToken bool // refused by the token endpoint, whose 404 is an unknown realm
}

// Error tells the status and the platform's words.
func (e *Error) Error() string {
	text := fmt.Sprintf("AwareID answered %d", e.Status)
	if e.Code != "" {
		text += " " + e.Code
	}
	if e.Message != "" {
		text += fmt.Sprintf(": %q", e.Message)
	}
	return text
}

// Is makes the sentinel that fits the status match.
func (e *Error) Is(target error) bool { return target != nil && target == e.cause() }

// cause is the sentinel for the status; nil where none fits.
func (e *Error) cause() error {
	switch {
	case e.Status == http.StatusTooManyRequests:
		return ErrThrottled
	case e.Status >= 500:
		return ErrUnavailable
	case e.Status >= 300 && e.Status < 400:
		return ErrMalformed // redirects are not followed
	case e.ofToken, e.Status == http.StatusUnauthorized, e.Status == http.StatusForbidden:
		return ErrUnauthorized
	case e.Status == http.StatusNotFound:
		return ErrNotFound
	}
	return nil
}

// hasStatus reports whether err is a refusal with this status.
func hasStatus(err error, status int) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.Status == status
}

// malformedError is an answer with a 2xx that cannot be used. Its text names
// members of the reference, never what the answer held.
type malformedError struct {
	what     string
	tooLarge bool
}

func (e *malformedError) Error() string     { return ErrMalformed.Error() + ": " + e.what }
func (e *malformedError) Is(err error) bool { return err == ErrMalformed }

func malformed(format string, args ...any) error {
	return &malformedError{what: fmt.Sprintf(format, args...)}
}

// unanswered says that an exchange brought no answer.
type unanswered struct {
	cause error
	sent  bool // the platform may have acted on it
	final bool // another try would end likewise
}

func (e *unanswered) Error() string { return e.cause.Error() }
func (e *unanswered) Unwrap() error { return e.cause }

// Is matches ErrUnavailable, unless it was the caller who hung up.
func (e *unanswered) Is(target error) bool {
	return target == ErrUnavailable && !e.cancelled()
}

// errCircuitOpen ends a call before it is sent.
var errCircuitOpen = fmt.Errorf("%w: the circuit is open after repeated failures", ErrUnavailable)

// operation names a call, in metrics and, as words, in errors.
type operation string

const (
	getToken        operation = "get_token"
	listWebhooks    operation = "list_webhooks"
	registerWebhook operation = "register_webhook"
	getWebhook      operation = "get_webhook"
	updateWebhook   operation = "update_webhook"
	deleteWebhook   operation = "delete_webhook"
	getEventData    operation = "get_event_data"
	listEnrollments operation = "list_enrollments"
	getEnrollment   operation = "get_enrollment"
	getB2CStatus    operation = "get_b2c_status"
)

func (o operation) String() string { return strings.ReplaceAll(string(o), "_", " ") }
