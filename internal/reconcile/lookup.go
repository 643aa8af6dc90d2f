package reconcile

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"awareid-gateway/internal/awareid"
	"awareid-gateway/internal/privacy"
)

// lookUpOperations reads again what began the operations without an end, and asks
// the platform about those of B2C. It is true where all of those were asked about.
func (r *run) lookUpOperations(ctx context.Context) bool {
	b2c, others := r.unended()
	r.report.Unended.Count = b2c.count + others.count
	list := append(b2c.sorted(), others.sorted()...)
	for _, f := range list[:min(len(list), MaxListed)] {
		o, err := r.lookUp(ctx, f)
		if errors.Is(err, ErrGone) {
			r.report.Unended.Count-- // it is as if it had never been read
			continue
		}
		if o.OperationToken != "" {
			r.lookedUp = append(r.lookedUp, lookedUp{f.key, o})
		}
		if r.failed(ctx, "the operations without an end could not all be looked up", err) {
			return false
		}
	}
	if b2c.count > MaxListed {
		r.note("only %d of %d B2C operations without an end were looked up", MaxListed, b2c.count)
	}
	return b2c.count <= MaxListed
}

func (r *run) lookUp(ctx context.Context, f found) (UnendedOperation, error) {
	record, err := r.opts.Records.ReadAt(ctx, f.at)
	if err != nil {
		return UnendedOperation{}, err
	}
	facts, _ := record.read()
	o := UnendedOperation{
		OperationToken: facts.operation, Type: facts.kind, Time: record.Time.UTC(), Position: f.at.String(), B2C: f.b2c,
	}
	if !f.b2c {
		return o, nil
	}
	token, ok := memberOf(record.Value, SessionToken)
	if !ok {
		token = facts.operation
	}
	o.Status, err = r.statusOf(ctx, token)
	return o, err
}

func (r *run) statusOf(ctx context.Context, token string) (awareid.B2CStatus, error) {
	if !canBeAsked(token) {
		return StatusUnknown, nil
	}
	status, err := r.opts.Platform.B2CStatus(ctx, token)
	if doesNotKnow(err) {
		return StatusUnknown, nil
	}
	return status, err
}

// doesNotKnow reports whether the platform refused one name, as it would not any
// other: the reference does not say that it is with a 404.
func doesNotKnow(err error) bool {
	if errors.Is(err, awareid.ErrNotFound) {
		return true
	}
	e, refused := errors.AsType[*awareid.Error](err)
	return refused && (e.Status == http.StatusBadRequest || e.Status == http.StatusUnprocessableEntity)
}

// canBeAsked is false for a hash, which the platform cannot know, and for what no path
// can hold: anybody who writes to a topic could have made it up.
func canBeAsked(name string) bool {
	const most = 1024
	return !privacy.IsHash(name) && name != "" && len(name) <= most && name != "." && name != ".." &&
		!strings.ContainsFunc(name, func(r rune) bool { return r < '!' || r > '~' })
}

// registrationCode is the member by which the platform can be asked for one
// enrollment.
const registrationCode = "registrationCode"

// lookUpUnknown reads an event again. It is known where the platform knows it after
// all, or where it is gone meanwhile.
func (r *run) lookUpUnknown(ctx context.Context, f found) (e UnknownEvent, known bool, err error) {
	record, err := r.opts.Records.ReadAt(ctx, f.at)
	if errors.Is(err, ErrGone) {
		return e, true, nil
	}
	if err != nil {
		return e, false, err
	}
	facts, _ := record.read()
	value, _ := memberOf(record.Value, r.field)
	e = UnknownEvent{
		ID: facts.id, OperationToken: facts.operation, Value: value, Time: record.Time.UTC(), Position: f.at.String(),
	}
	if r.field != registrationCode || !canBeAsked(value) {
		return e, false, nil
	}
	_, err = r.opts.Platform.Enrollment(ctx, value)
	if doesNotKnow(err) {
		return e, false, nil
	}
	return e, err == nil, err
}
