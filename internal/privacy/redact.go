package privacy

import (
	"bytes"
	"errors"
	"io"
	"slices"

	"github.com/go-json-experiment/json/jsontext"

	"awareid-gateway/internal/event"
)

// errNotJSON hides the decoder's words, which may quote the payload.
var errNotJSON = errors.New("not valid JSON")

// redactor makes one pass over a payload. It holds no tree: of the values on the way
// to the one that is read, it keeps which paths may end below them.
type redactor struct {
	rules  []rule
	key    *[]byte // of the hasher
	hasher *hasher // nil: there is no key
	again  bool    // what has the form of a hash is one

	src    bytes.Buffer // a Buffer is the one reader that the decoder does not copy
	dec    jsontext.Decoder
	in     []byte
	out    []byte // the payload up to copied, as it is to be
	copied int
	states []state // of all values on the way, one behind the other
	done   []bool  // by rule: it changed something
	hits   []int   // rules that end at the value at hand
	name   []byte  // a name without its escapes
	value  []byte  // a value's replacement
}

func (r *redactor) reset(payload []byte) {
	r.src = *bytes.NewBuffer(payload)
	r.dec.Reset(&r.src, jsontext.AllowDuplicateNames(true))
	r.in, r.out, r.copied = payload, nil, 0
	clear(r.done)
}

// run is Rules.Redact.
func (r *redactor) run(payload []byte, before Done) ([]byte, Done, error) {
	r.reset(payload)
	r.again = before.hashed()
	redacted, err := r.redact()
	if err != nil {
		return nil, "", err
	}
	return redacted, before.and(r.rules, r.done), nil
}

func (r *redactor) forget() {
	r.reset(nil)
	if r.hasher != nil {
		r.hasher.forget()
	}
}

// redact returns the payload itself where nothing was changed.
func (r *redactor) redact() ([]byte, error) {
	r.states = r.states[:0]
	for i := range r.rules {
		r.states = append(r.states, state{rule: i})
	}
	if err := r.read(0); err != nil {
		return nil, err
	}
	if _, err := r.dec.ReadToken(); !errors.Is(err, io.EOF) {
		return nil, errNotJSON
	}
	if r.out == nil {
		return r.in, nil
	}
	return append(r.out, r.in[r.copied:]...), nil
}

// read passes over the next value, whose states are those from an index on, and
// redacts what is in it.
func (r *redactor) read(states int) error {
	kind := r.dec.PeekKind()
	switch {
	case len(r.states) > states && kind == '{':
		return r.readObject(states)
	case len(r.states) > states && kind == '[':
		return r.readArray(states)
	}
	return hide(r.dec.SkipValue())
}

func (r *redactor) readObject(states int) error {
	if _, err := r.dec.ReadToken(); err != nil {
		return errNotJSON
	}
	kept, dropped := false, false
	end := len(r.states)
	for r.dec.PeekKind() == '"' {
		before := r.offset() // the end of the member before, or of the brace
		start, err := r.readName()
		if err != nil {
			return err
		}
		if r.enter(states, end, key{name: r.name}) {
			if err := hide(r.dec.SkipValue()); err != nil {
				return err
			}
			r.cutMember(before, start, kept || dropped)
			dropped = true
			r.states = r.states[:end]
			continue
		}
		if dropped && !kept {
			r.replace(before, start, nil) // the comma behind those that led
		}
		kept = true
		if err := r.readChild(end); err != nil {
			return err
		}
	}
	_, err := r.dec.ReadToken()
	return hide(err)
}

// cutMember takes out the member that has just been read, with the comma and the
// space ahead of it, where another stood there.
func (r *redactor) cutMember(before, start int, follows bool) {
	if !follows {
		before = start
	}
	r.replace(before, r.offset(), nil)
	r.note()
}

func (r *redactor) readArray(states int) error {
	if _, err := r.dec.ReadToken(); err != nil {
		return errNotJSON
	}
	end := len(r.states)
	for index := 0; ; index++ {
		if kind := r.dec.PeekKind(); kind == ']' || kind == 0 {
			break
		}
		if r.enter(states, end, key{index: index, element: true}) {
			if err := r.put(func(jsontext.Value) ([]byte, error) { return []byte("null"), nil }); err != nil {
				return err
			}
			r.states = r.states[:end]
			continue
		}
		if err := r.readChild(end); err != nil {
			return err
		}
	}
	_, err := r.dec.ReadToken()
	return hide(err)
}

// readChild reads a value that stays, and hashes it where a path ends at it. Its
// states are those from an index on, and are gone then.
func (r *redactor) readChild(states int) (err error) {
	if len(r.hits) > 0 {
		err = r.put(r.hash)
	} else {
		err = r.read(states)
	}
	r.states = r.states[:states]
	return err
}

// put replaces the next value, unless it is null or the replacement is nil.
func (r *redactor) put(replacement func(jsontext.Value) ([]byte, error)) error {
	v, err := r.dec.ReadValue()
	if err != nil || v.Kind() == 'n' {
		return hide(err)
	}
	with, err := replacement(v)
	if err != nil || with == nil {
		return err
	}
	r.replace(r.offset()-len(v), r.offset(), with)
	r.note()
	return nil
}

func (r *redactor) hash(v jsontext.Value) (_ []byte, err error) {
	if r.again && v.Kind() == '"' && IsHash(string(v[1:len(v)-1])) {
		return nil, nil
	}
	r.value = append(r.value[:0], '"')
	if r.value, err = r.hasher.appendHash(r.value, v); err != nil {
		return nil, err
	}
	r.value = append(r.value, '"')
	return r.value, nil
}

// hashText is the hash of a string.
func (r *redactor) hashText(text string) string {
	if r.again && IsHash(text) {
		return text
	}
	quoted, _ := jsontext.AppendQuote(nil, text) // its error is about bytes that it has replaced
	hashed, _ := r.hasher.appendHash(nil, quoted)
	return string(hashed)
}

// hideFindings hides what a rule that changed something could have changed.
func (r *redactor) hideFindings(f *event.Findings) {
	for i, rule := range r.rules {
		if r.done[i] {
			f.Mask(rule.tells)
		}
	}
}

// enter notes the states of the child at k, and the rules that end there: only
// those that drop, where there are any.
func (r *redactor) enter(from, to int, k key) (drops bool) {
	r.hits = r.hits[:0]
	r.states = advance(r.rules, r.states[from:to], k, r.states, func(rule int) { r.hits = append(r.hits, rule) })
	hashes := func(rule int) bool { return r.rules[rule].action == actHash }
	if len(r.hits) > 0 && !slices.ContainsFunc(r.hits, func(rule int) bool { return !hashes(rule) }) {
		return false
	}
	r.hits = slices.DeleteFunc(r.hits, hashes)
	return len(r.hits) > 0
}

// note marks the rules that changed the value at hand.
func (r *redactor) note() {
	for _, rule := range r.hits {
		r.done[rule] = true
	}
}

// readName reads a member's name, and returns where it begins.
func (r *redactor) readName() (start int, err error) {
	raw, err := r.dec.ReadValue()
	if err != nil {
		return 0, errNotJSON
	}
	start = r.offset() - len(raw)
	if bytes.IndexByte(raw, '\\') < 0 {
		r.name = append(r.name[:0], raw[1:len(raw)-1]...)
		return start, nil
	}
	r.name, err = jsontext.AppendUnquote(r.name[:0], raw)
	return start, hide(err)
}

func (r *redactor) replace(from, to int, with []byte) {
	if r.out == nil {
		r.out = make([]byte, 0, len(r.in)+len(with))
	}
	r.out = append(r.out, r.in[r.copied:from]...)
	r.out = append(r.out, with...)
	r.copied = to
}

func (r *redactor) offset() int { return int(r.dec.InputOffset()) }

func hide(err error) error {
	if err != nil {
		return errNotJSON
	}
	return nil
}
