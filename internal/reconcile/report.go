package reconcile

import (
	"time"

	"awareid-gateway/internal/awareid"
)

// Bounds of a run.
const (
	// MaxKeys is how many events of completion, operations and missing enrollments
	// a run can tell apart. Beyond it the report is partial.
	MaxKeys = 1_000_000
	// MaxListed is how many entries a list of the report has at most, and how many
	// are looked up on the platform. The counts go on.
	MaxListed = 1000
)

// Report is what came of a comparison. It holds tokens and codes that lead to
// people: it is for the caller who asked, and nothing of its lists and of Webhook
// may get into a log line, a metric or an error. All times are UTC.
type Report struct {
	Began     time.Time `json:"began"`
	Ended     time.Time `json:"ended"`
	Since     time.Time `json:"since,omitzero"` // the period's beginning; absent: all that Kafka holds
	JoinField string    `json:"joinField"`
	Webhook   string    `json:"webhook,omitempty"` // id of the one webhook whose events counted; absent: all

	// Compared names the comparisons that were made in full. Partial says that
	// something was not, and Problems why, in words without anything private.
	Compared []Subject `json:"compared"`
	Partial  bool      `json:"partial"`
	Problems []string  `json:"problems"`

	Kafka    KafkaCounts    `json:"kafka"`
	Platform PlatformCounts `json:"platform"`

	Missing MissingEnrollments `json:"missingEnrollments"`
	Unended UnendedOperations  `json:"unendedOperations"`
	Unknown UnknownEvents      `json:"unknownEvents"`
}

// Subject is one of the comparisons.
type Subject string

// The comparisons.
const (
	Enrollments Subject = "enrollments" // the platform's, with events
	Operations  Subject = "operations"  // begun, with ended
	Events      Subject = "events"      // of completion, with the platform's enrollments
)

// KafkaCounts say what was read in the topics.
type KafkaCounts struct {
	Records    int `json:"records"`    // all
	Passed     int `json:"passed"`     // without the gateway's headers, or of another webhook
	Completed  int `json:"completed"`  // enrollment.completed events, by different members
	Unjoinable int `json:"unjoinable"` // enrollment.completed events without the member
	Operations int `json:"operations"` // that began or ended
}

// PlatformCounts say what the platform listed. An enrollment that is listed twice
// counts twice.
type PlatformCounts struct {
	Pages       int `json:"pages"`
	Enrollments int `json:"enrollments"`
	Matched     int `json:"matched"`    // with an event
	Earlier     int `json:"earlier"`    // without an event, begun before the period: not compared
	Undated     int `json:"undated"`    // without an event and without a date: not compared
	Unjoinable  int `json:"unjoinable"` // without the member: not compared
}

// MissingEnrollments are completed on the platform and have no event. The list is
// in the platform's order.
type MissingEnrollments struct {
	Count int                 `json:"count"`
	List  []MissingEnrollment `json:"list"`
}

// MissingEnrollment is one of them.
type MissingEnrollment struct {
	RegistrationCode string    `json:"registrationCode,omitempty"`
	Value            string    `json:"value"`          // of the join field
	Began            time.Time `json:"began,omitzero"` // by the platform
}

// UnendedOperations began and have no end in Kafka. Those that the platform says
// have ended miss their last event; of the others it is not known.
type UnendedOperations struct {
	Count   int                `json:"count"`
	Ended   int                `json:"ended"`   // by the platform
	Pending int                `json:"pending"` // by the platform
	List    []UnendedOperation `json:"list"`    // B2C ones first
}

// UnendedOperation is one of them.
type UnendedOperation struct {
	OperationToken string    `json:"operationToken"`
	Type           string    `json:"type"` // of the event that began it
	Time           time.Time `json:"time"` // of that event's record
	Position       string    `json:"position"`
	B2C            bool      `json:"b2c"`
	// Status is the platform's word on a B2C operation, or "unknown" where it does
	// not know the token; absent: it was not asked.
	Status awareid.B2CStatus `json:"status,omitempty"`
}

// StatusUnknown stands for the status of an operation that the platform does not
// know.
const StatusUnknown awareid.B2CStatus = "unknown"

// ended says that the platform knows of an end.
func (o UnendedOperation) ended() bool {
	return o.Status != "" && o.Status != StatusUnknown && o.Status != awareid.B2CPending
}

// UnknownEvents are of completed enrollments that the platform does not list. The
// list is in the order of the topics.
type UnknownEvents struct {
	Count int            `json:"count"`
	List  []UnknownEvent `json:"list"`
}

// UnknownEvent is one of them.
type UnknownEvent struct {
	ID             string    `json:"id"`
	OperationToken string    `json:"operationToken,omitempty"`
	Value          string    `json:"value"` // of the join field
	Time           time.Time `json:"time"`  // of the record
	Position       string    `json:"position"`
}

// Misses reports whether an event is missing for certain: an enrollment's, or the
// end of an operation.
func (r Report) Misses() bool { return r.Missing.Count > 0 || r.Unended.Ended > 0 }
