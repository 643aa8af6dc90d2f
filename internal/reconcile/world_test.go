package reconcile_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/awareid"
	"awareid-gateway/internal/event"
	"awareid-gateway/internal/reconcile"
)

const webhook = "0123456789abcdef0123456789abcdef"

// world is what both sides know, in memory.
type world struct {
	// The platform's side.
	pages    [][]awareid.Enrollment
	codes    map[string]bool // can be asked for one by one, though not listed
	statuses map[string]awareid.B2CStatus
	listErr  error // after the pages
	askErr   error
	asked    []string

	// Kafka's side.
	records  []reconcile.Record
	later    []reconcile.Record // are there after the first reading
	mu       sync.Mutex         // of startErr
	startErr error
	readErrs []error         // of each reading, after its records
	spoilt   map[int64]error // by offset: what reading again brings
	since    time.Time
}

var errAway = errors.New("away")

func (w *world) Enrollments(ctx context.Context) iter.Seq2[awareid.Page, error] {
	return func(yield func(awareid.Page, error) bool) {
		for i, list := range w.pages {
			if !yield(awareid.Page{Number: i + 1, Enrollments: list}, nil) {
				return
			}
		}
		if w.listErr != nil {
			yield(awareid.Page{Number: len(w.pages) + 1}, w.listErr)
		}
	}
}

func (w *world) Enrollment(_ context.Context, code string) (awareid.Enrollment, error) {
	w.asked = append(w.asked, code)
	switch {
	case w.askErr != nil:
		return awareid.Enrollment{}, w.askErr
	case w.codes[code]:
		return awareid.Enrollment{RegistrationCode: code}, nil
	}
	return awareid.Enrollment{}, fmt.Errorf("get enrollment: %w", awareid.ErrNotFound)
}

func (w *world) B2CStatus(_ context.Context, token string) (awareid.B2CStatus, error) {
	w.asked = append(w.asked, token)
	status, ok := w.statuses[token]
	switch {
	case w.askErr != nil:
		return "", w.askErr
	case token == "refused":
		return "", fmt.Errorf("get b2c status: %w", &awareid.Error{Status: 400})
	case !ok:
		return "", fmt.Errorf("get b2c status: %w", awareid.ErrNotFound)
	}
	return status, nil
}

func (w *world) Start(_ context.Context, since time.Time) (reconcile.Cursor, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.since = since
	return reconcile.Cursor{event.Place{Topic: "t"}: 0}, w.startErr
}

// loseKafka makes later runs fail.
func (w *world) loseKafka(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.startErr = err
}

func (w *world) Read(_ context.Context, c reconcile.Cursor, each func(reconcile.Record) error) error {
	at := event.Place{Topic: "t"}
	for ; c[at] < int64(len(w.records)); c[at]++ {
		if err := each(w.records[c[at]]); err != nil {
			return err
		}
	}
	w.records, w.later = append(w.records, w.later...), nil
	if len(w.readErrs) > 0 {
		err := w.readErrs[0]
		w.readErrs = w.readErrs[1:]
		return err
	}
	return nil
}

func (w *world) ReadAt(_ context.Context, at reconcile.Position) (reconcile.Record, error) {
	if err := w.spoilt[at.Offset]; err != nil {
		return reconcile.Record{}, err
	}
	return w.records[at.Offset], nil
}

// list puts enrollments that began ago on a page of the platform's list.
func (w *world) list(ago time.Duration, codes ...string) {
	began := time.Now().Add(-ago).In(time.FixedZone("", -5*60*60)).Format("2006-01-02T15:04:05.000-0700")
	var list []awareid.Enrollment
	for _, code := range codes {
		list = append(list, enrollmentOf(fmt.Sprintf(`{"name":"n","registrationCode":%q,"startDate":%q}`, code, began), code))
	}
	w.pages = append(w.pages, list)
}

func enrollmentOf(object, code string) awareid.Enrollment {
	return awareid.Enrollment{RegistrationCode: code, Object: []byte(object)}
}

// happen puts an event of some time ago into Kafka; data are the members of its
// data.
func (w *world) happen(ago time.Duration, kind, operation, data string) {
	w.records = append(w.records, happened(int64(len(w.records)), ago, kind, operation, data))
}

// happenLater is an event that comes when everything has been read once.
func (w *world) happenLater(kind, operation, data string) {
	w.later = append(w.later, happened(int64(len(w.records)+len(w.later)), 0, kind, operation, data))
}

func happened(offset int64, ago time.Duration, kind, operation, data string) reconcile.Record {
	e := event.Event{ID: fmt.Sprintf("id-%d", offset), Type: kind, OperationToken: operation, Created: time.Now()}
	return reconcile.Record{
		At: reconcile.Position{Place: event.Place{Topic: "t"}, Offset: offset}, Time: time.Now().Add(-ago),
		Headers: e.Headers(webhook),
		Value:   fmt.Appendf(nil, `{"id":%q,"type":%q,"operationToken":%q,"data":{%s}}`, e.ID, kind, operation, data),
	}
}

func (w *world) enrolled(ago time.Duration, code string) {
	w.happen(ago, "enrollment.completed", "op-"+code, fmt.Sprintf(`"registrationCode":%q`, code))
}

func options(w *world) reconcile.Options {
	return reconcile.Options{
		Platform: w, Records: w, JoinField: "registrationCode", Window: 24 * time.Hour,
		OpenAfter: time.Hour, Settle: time.Minute, Log: slog.New(slog.DiscardHandler),
	}
}

// compare runs once, on a fake clock, and returns what came of it and how long it
// took.
func compare(t *testing.T, prepare func(w *world, o *reconcile.Options)) (r reconcile.Report, w *world) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w = &world{}
		o := options(w)
		prepare(w, &o)
		r = reconcile.New(o).Once(t.Context())
		require.Equal(t, len(r.Problems) > 0, r.Partial)
	})
	return r, w
}

func missing(r reconcile.Report) []string {
	codes := []string{}
	for _, m := range r.Missing.List {
		codes = append(codes, m.Value)
	}
	return codes
}

func unknown(r reconcile.Report) []string {
	values := []string{}
	for _, u := range r.Unknown.List {
		values = append(values, u.Value)
	}
	return values
}

// unended are the operations with what the platform says of them.
func unended(r reconcile.Report) map[string]string {
	all := map[string]string{}
	for _, o := range r.Unended.List {
		all[o.OperationToken] = string(o.Status)
	}
	return all
}

// all are the comparisons of a run that nothing kept from anything.
var all = []reconcile.Subject{reconcile.Enrollments, reconcile.Operations, reconcile.Events}

// quote is text as JSON, an error where it is not UTF-8.
func quote(text string) (string, error) {
	quoted, err := jsontext.AppendQuote(nil, text)
	return string(quoted), err
}
