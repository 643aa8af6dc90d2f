// Package privacy takes what subscribers are not to see out of an event, by paths
// into its JSON, or puts a keyed hash in its place. It is pure: no I/O, no clock.
//
// # Paths
//
// A path is of a subset of RFC 9535: the root $ (section 2.2), and then one or more
// segments: .name and ..name with the names of section 2.5.1.1, .* and ..*, and in
// brackets, behind nothing or behind two dots, one quoted name (2.3.1.1), * (2.3.2) or
// one index from 0 on (2.3.3). So $.data.email, $.data.*.value, $.data.images[*],
// $.data.images[0], $..ssn, $['odd name']. There are no blanks between those, no
// slices, filters, indexes from the end, nor several selectors in a bracket.
//
// # What is done
//
// All that a path matches is redacted, under names that occur twice or are written
// with escapes too; whatever lies around it stays byte for byte. A dropped member goes
// with its comma; a dropped element of an array becomes null, so that the others stay
// where they are. A hashed value becomes a string, "hmac-sha256:" and the base64url
// (RFC 4648, section 5, without padding) of HMAC-SHA-256 over the value's canonical
// form by RFC 8785, but that integers without fraction and exponent keep all their
// digits: there, and among numbers with more digits than a double has, lies the limit
// of "equal". Equal values have equal hashes wherever they stand. Objects and arrays
// are hashed as a whole, as they came. An element that is null, and null to be hashed,
// stay. Where both lists match, the value is dropped. What lies in a redacted value
// needs no path of its own.
//
// The HMAC's key is 32 bytes of HKDF-SHA-256 (RFC 5869), without salt, of the key that
// is configured, with the info "awareid-gateway privacy hash v1".
//
// # What is told
//
// [Done] names the paths that matched, in the order in which they are configured.
package privacy

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/go-json-experiment/json/jsontext"

	"awareid-gateway/internal/event"
)

// ErrNoKey says that there are paths which need a key, and none.
var ErrNoKey = errors.New("the privacy hash key is missing")

type action int

const (
	actDrop action = iota
	actHash
)

// rule is a path and what becomes of what it matches.
type rule struct {
	path
	action action
	tells  event.Findings // empty where the rule could change what a finding is made of
}

// Rules are what is dropped and hashed. A nil Rules changes nothing. It is safe for
// concurrent use.
type Rules struct {
	rules     []rule
	operation operation
	key       atomic.Pointer[[]byte] // of the HMAC; nil: none
	redactors sync.Pool
}

// operation is what becomes of the operation token at the top.
type operation struct{ drops, hashes bool }

// New takes the paths of PRIVACY_DROP and PRIVACY_HASH, and the 32 bytes of
// PRIVACY_HASH_KEY or nil. It returns nil where there are no paths. An error names the
// path, see [Check], or is ErrNoKey: the key is needed for hashes, and to keep the
// events of an operation together whose token is dropped.
func New(drops, hashes []string, key []byte) (*Rules, error) {
	if len(drops)+len(hashes) == 0 {
		return nil, nil
	}
	r := &Rules{}
	for _, list := range []struct {
		paths  []string
		action action
	}{{drops, actDrop}, {hashes, actHash}} {
		for _, text := range list.paths {
			p, err := check(text)
			if err != nil {
				return nil, err
			}
			r.add(p, list.action)
		}
	}
	if key == nil && (len(hashes) > 0 || r.operation.drops) {
		return nil, ErrNoKey
	}
	r.redactors.New = func() any { return &redactor{rules: r.rules, done: make([]bool, len(r.rules))} }
	if key == nil {
		return r, nil
	}
	return r, r.SetKey(key)
}

// SetKey puts another key in the place of New's, for the events that come from now
// on: hashes of before and after it do not compare. It retains nothing of it.
func (r *Rules) SetKey(key []byte) error {
	derived, err := deriveKey(key)
	if err == nil {
		r.key.Store(&derived)
	}
	return err
}

func (r *Rules) add(p path, a action) {
	one := rule{path: p, action: a, tells: event.Findings{PolicyDecision: "x", FailedAssertions: "x", Status: "x"}}
	one.tells.Hide(p.covers)
	r.rules = append(r.rules, one)
	if at, _ := p.follow("operationToken"); at {
		r.operation.drops = r.operation.drops || a == actDrop
		r.operation.hashes = r.operation.hashes || a == actHash
	}
}

// Check returns why a path cannot be configured, and names it: it is not of the
// grammar, or would take away what each record tells all the same, because the gateway
// goes by it: id, type, created, and the transaction number.
func Check(text string) error {
	_, err := check(text)
	return err
}

func check(text string) (path, error) {
	p, err := parsePath(text)
	if err != nil {
		return p, fmt.Errorf("%q %w", text, err)
	}
	for _, name := range []string{"id", "type", "created", "transactionNum"} {
		if at, _ := p.follow(name); at {
			return p, fmt.Errorf("%q matches $.%s, which cannot be redacted: the gateway goes by it, and each record's headers tell it", text, name)
		}
	}
	last := p.segments[len(p.segments)-1]
	if at, _ := p.follow("data", "transactionNum"); at && last.kind == byName {
		return p, fmt.Errorf("%q matches $.data.transactionNum, which cannot be redacted: the gateway goes by it, and each record's headers tell it", text)
	}
	return p, nil
}

// Redact returns the payload as subscribers may see it, and what was done to it now
// and before; the payload itself where nothing was. Before is what had been done to it
// already: then what has the form of a hash is one. The payload is not written to. An
// error means that it is not one JSON value (RFC 8259), and quotes nothing of it.
func (r *Rules) Redact(payload []byte, before Done) ([]byte, Done, error) {
	if r == nil {
		return payload, before, nil
	}
	redactor := r.take()
	defer r.put(redactor)
	return redactor.run(payload, before)
}

// Event does to an event what Redact does to its payload. The operation token is what
// the payload then says; where it is dropped, its hash stands for it in Group. A
// finding is left out where a path that matched, now or before, covers any of what it
// could be made of. An event that has been parsed is no error.
func (r *Rules) Event(e event.Event, before Done) (event.Event, Done, error) {
	if r == nil {
		return e, before, nil
	}
	redactor := r.take()
	defer r.put(redactor)
	payload, done, err := redactor.run(e.Payload, before)
	if err != nil {
		return event.Event{}, "", err
	}
	e.Payload = payload
	redactor.hideFindings(&e.Findings)
	before.hideFindings(&e.Findings)
	if e.OperationToken == "" {
		return e, done, nil
	}
	switch {
	case r.operation.drops:
		e.Group, e.OperationToken = redactor.hashText(e.OperationToken), ""
	case r.operation.hashes:
		e.OperationToken = redactor.hashText(e.OperationToken)
	}
	return e, done, nil
}

// Hash is what stands in an event for a value that is hashed, without quotes. It
// panics where New was given no key. An error means that it is no JSON value.
func (r *Rules) Hash(value jsontext.Value) (string, error) {
	redactor := r.take()
	defer r.put(redactor)
	hashed, err := redactor.hasher.appendHash(nil, value)
	return string(hashed), err
}

// Treatment is what becomes of a member.
type Treatment int

// The treatments.
const (
	Kept Treatment = iota
	Hashed
	Dropped // or hashed as a part of what holds it
)

// Of returns what becomes of the member that names lead to from the top.
func (r *Rules) Of(names ...string) Treatment {
	t := Kept
	if r == nil {
		return t
	}
	for _, rule := range r.rules {
		at, atOrAbove := rule.follow(names...)
		_, above := rule.follow(names[:len(names)-1]...)
		switch {
		case above, atOrAbove && rule.action == actDrop:
			return Dropped
		case at:
			t = Hashed
		}
	}
	return t
}

// take returns a redactor that hashes with the key in force.
func (r *Rules) take() *redactor {
	one := r.redactors.Get().(*redactor)
	if key := r.key.Load(); key != one.key {
		one.key, one.hasher = key, newHasher(*key)
	}
	return one
}

// put forgets the payload before the redactor goes back to the pool.
func (r *Rules) put(one *redactor) {
	one.forget()
	r.redactors.Put(one)
}
