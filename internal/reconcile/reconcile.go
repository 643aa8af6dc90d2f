package reconcile

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"log/slog"
	"sync"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/prometheus/client_golang/prometheus"

	"awareid-gateway/internal/awareid"
	"awareid-gateway/internal/event"
)

// Platform is what is asked of AwareID. See [awareid.Client] for its promises.
type Platform interface {
	Enrollments(ctx context.Context) iter.Seq2[awareid.Page, error]
	Enrollment(ctx context.Context, registrationCode string) (awareid.Enrollment, error)
	B2CStatus(ctx context.Context, sessionToken string) (awareid.B2CStatus, error)
}

// Cursor is how far each partition has been read: the offset of the next record.
type Cursor map[event.Place]int64

// Records are the topics. See [Topics] for its promises.
type Records interface {
	// Start returns a cursor that no record as young as since precedes; for a zero
	// time it is the beginning.
	Start(ctx context.Context, since time.Time) (Cursor, error)
	// Read calls each for every record from the cursor on, up to an end that each
	// partition had after the call began, and moves the cursor there. An error of
	// each ends it and is returned as it is.
	Read(ctx context.Context, c Cursor, each func(Record) error) error
	// ReadAt reads one record again. Its bytes are the caller's. It returns ErrGone
	// for one that is not there any more.
	ReadAt(ctx context.Context, at Position) (Record, error)
}

// ErrGone says that a record has been deleted.
var ErrGone = errors.New("the record is gone")

// Leaders grants a task to one of several replicas at a time. See [store.Redis]
// for its promises.
type Leaders interface {
	Lead(ctx context.Context, task, who string, lease time.Duration) (bool, error)
}

// Defaults of [Options].
const (
	DefaultOpenAfter = 30 * time.Minute
	DefaultTimeout   = time.Hour
)

// Options say what is compared, and how patiently.
type Options struct {
	Platform Platform
	Records  Records

	JoinField string // a member that an enrollment and its event have in common
	// Hash is what events show in place of JoinField's value (see privacy.Rules.Hash),
	// where the privacy rules hash it; nil: they do not. Records of before are hashed
	// to be compared; the value has to be of one JSON type on both sides.
	Hash      func(jsontext.Value) (string, error)
	Webhook   string        // id: only events of this webhook count; "": of any
	Window    time.Duration // the period up to now; 0: all that Kafka holds, and all enrollments
	OpenAfter time.Duration // an operation that began later may well be under way; 0: at once
	// Settle is how long an event may take from the platform's list to Kafka. It is
	// waited for only where something is missing.
	Settle  time.Duration
	Timeout time.Duration // of a run, Interval at most; 0: DefaultTimeout

	Interval time.Duration         // from one run to the next, see [Runner.Run]
	Leaders  Leaders               // nil: there is one replica
	Log      *slog.Logger          // of Run; Once logs nothing
	Metrics  prometheus.Registerer // nil: none

	maxKeys int
}

// source is that of the events that count, "" for any.
func (o Options) source() string {
	if o.Webhook == "" {
		return ""
	}
	return event.Source(o.Webhook)
}

// Runner compares, once or on a schedule. It is safe for concurrent use.
type Runner struct {
	opts Options

	mu      sync.Mutex
	last    *Report
	current bool // no replica has compared since, as far as is known
}

// New returns a runner that has not begun. It panics if o.Metrics holds the metrics
// of one already.
func New(o Options) *Runner {
	o.Timeout = cmp.Or(o.Timeout, DefaultTimeout)
	if o.Interval > 0 {
		o.Timeout = min(o.Timeout, o.Interval) // one run at a time
	}
	o.maxKeys = cmp.Or(o.maxKeys, MaxKeys)
	r := &Runner{opts: o}
	if o.Metrics != nil {
		o.Metrics.MustRegister(collector{r})
	}
	return r
}

// Once compares now. Whatever fails, and where the context or the time-out ends it,
// the report has what was found until then, and says so. Nothing is logged.
func (r *Runner) Once(ctx context.Context) Report {
	ctx, cancel := context.WithTimeoutCause(ctx, r.opts.Timeout, errOverdue)
	defer cancel()
	one := newRun(r.opts)
	one.compare(ctx)
	report := one.finish()
	r.keep(report)
	return report
}

// Last is the report of the last run of this process; false before the first.
func (r *Runner) Last() (Report, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.last == nil {
		return Report{}, false
	}
	return *r.last, true
}

func (r *Runner) keep(report Report) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last, r.current = &report, true
}
