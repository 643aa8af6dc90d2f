package event

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

const (
	// MaxNameBytes bounds an id, a type and a transaction number.
	MaxNameBytes = 128
	// MaxTokenBytes bounds an operation token, which becomes a record's key and
	// one of its headers.
	MaxTokenBytes = 1024
)

// ErrMalformed says that a plaintext is no event. What wraps it names the
// member that is wrong, never a value.
var ErrMalformed = errors.New("malformed event")

// Parse reads the few members that routing needs and leaves the rest alone.
// The payload must be one JSON object in UTF-8 (RFC 8259) with an id, a type
// and a time of creation; it is kept, not copied. A member that routing reads
// and that occurs twice is ambiguous, so the event is malformed: what the
// gateway reads must be what every subscriber reads. Elsewhere in the object
// repeated names are left alone. Every error is ErrMalformed.
//
// The transaction number stands at the top level or in data, as a number or a
// string; the top level wins. One of an impossible form counts as absent. The
// findings stand in data: what is there in another shape counts as absent too.
func Parse(payload []byte) (Event, error) {
	e, ok := usual(payload)
	if !ok {
		var err error
		if e, err = unusual(payload); err != nil {
			return Event{}, fmt.Errorf("%w: %w", ErrMalformed, err)
		}
	}
	e.Payload = payload
	return e, nil
}

// unusual reads an event that may be written in any way, or be none.
func unusual(payload []byte) (Event, error) {
	p := parsers.Get().(*parser)
	defer p.release()
	p.reset(payload)
	return p.event()
}

// layouts are tried in order. The platform writes the first, without a colon
// in the offset; fractions of a second are read with all of them.
var layouts = [...]string{"2006-01-02T15:04:05Z0700", time.RFC3339}

var errNotAnObject = errors.New("not a JSON object")

// parser carries the decoder's memory from one event to the next.
type parser struct {
	src bytes.Buffer // a Buffer is the one reader that the decoder does not copy
	dec jsontext.Decoder
}

var parsers = sync.Pool{New: func() any { return new(parser) }}

func (p *parser) reset(payload []byte) {
	p.src = *bytes.NewBuffer(payload)
	// Repeated names are judged by members, for the names that matter.
	p.dec.Reset(&p.src, jsontext.AllowDuplicateNames(true))
}

// release forgets the payload before the parser goes back to the pool.
func (p *parser) release() {
	p.reset(nil)
	parsers.Put(p)
}

var topMembers = []string{"id", "type", "created", "operationToken", "transactionNum", "data"}

func (p *parser) event() (Event, error) {
	var e Event
	var created string
	var in data
	err := p.members(topMembers, func(name string, again bool) error {
		if again {
			return errTwice(name)
		}
		switch name {
		case "id":
			return p.text(name, &e.ID)
		case "type":
			return p.text(name, &e.Type)
		case "created":
			return p.text(name, &created)
		case "operationToken":
			return p.text(name, &e.OperationToken)
		case "transactionNum":
			return p.number(&e.TransactionNum)
		default:
			return p.data(&in)
		}
	})
	if err != nil {
		return e, err
	}
	if _, err := p.dec.ReadToken(); !errors.Is(err, io.EOF) {
		return e, errors.New("something follows the object")
	}
	if e.TransactionNum == "" {
		e.TransactionNum = in.number
	}
	e.Findings = in.findings()
	if e.Created, err = parseTime(created); err != nil {
		return e, err
	}
	return e, e.check()
}

func (e Event) check() error {
	switch {
	case !validName(e.ID, visible):
		return errors.New("id: wants 1 to 128 visible ASCII characters")
	case !validName(e.Type, typeChar):
		return errors.New("type: wants 1 to 128 letters, digits, '.', '_' or '-'")
	case len(e.OperationToken) > MaxTokenBytes:
		return errors.New("operationToken: longer than 1024 bytes")
	}
	return nil
}

func errTwice(name string) error { return fmt.Errorf("%s: occurs twice", name) }

// members reads the object that comes next: visit must read the value of each
// member that names holds, the others are skipped. It is told where a name of
// the list occurs again.
func (p *parser) members(names []string, visit func(name string, again bool) error) error {
	if p.dec.PeekKind() != '{' {
		return errNotAnObject
	}
	if _, err := p.dec.ReadToken(); err != nil {
		return errNotJSON(err)
	}
	var seen uint
	for p.dec.PeekKind() == '"' {
		token, err := p.dec.ReadToken()
		if err != nil {
			return errNotJSON(err)
		}
		i := slices.Index(names, token.String())
		if i < 0 {
			err = p.skip()
		} else {
			err = visit(names[i], seen&(1<<i) != 0)
			seen |= 1 << i
		}
		if err != nil {
			return err
		}
	}
	_, err := p.dec.ReadToken()
	return errNotJSON(err)
}

// text reads a string into dst; null leaves it empty.
func (p *parser) text(name string, dst *string) error {
	token, err := p.dec.ReadToken()
	if err != nil {
		return errNotJSON(err)
	}
	switch token.Kind() {
	case '"':
		*dst = token.String()
	case 'n':
	default:
		return fmt.Errorf("%s: not a string", name)
	}
	return nil
}

// scalar reads a number or a string of allowed characters into dst, and passes
// over all else.
func (p *parser) scalar(dst *string, allowed class) error {
	switch p.dec.PeekKind() {
	case '0', '"':
		token, err := p.dec.ReadToken()
		if err != nil {
			return errNotJSON(err)
		}
		if s := token.String(); validName(s, allowed) {
			*dst = s
		}
		return nil
	}
	return p.skip()
}

func (p *parser) number(dst *string) error { return p.scalar(dst, visible) }

func (p *parser) skip() error { return errNotJSON(p.dec.SkipValue()) }

// errNotJSON hides the decoder's words: they may quote the payload.
func errNotJSON(err error) error {
	if err == nil {
		return nil
	}
	return errors.New("not valid JSON")
}

func parseTime(s string) (time.Time, error) {
	for _, layout := range layouts {
		if t, err := time.Parse(layout, s); err == nil {
			return t, nil
		}
	}
	return time.Time{}, errors.New("created: not a time such as 2022-02-16T14:33:11.889-0500")
}
