package event

import (
	"strconv"
	"strings"
)

// usual reads an event as Parse does, many times as fast, where it is written as
// events usually are: what is read has no escapes, nothing occurs twice, nothing is
// wrong. Otherwise ok is false, which says nothing: the parser has to look.
func usual(payload []byte) (e Event, ok bool) {
	s := scanner{text: payload}
	var top topLevel
	s.top(&top)
	if s.peek() != 0 || s.at != len(payload) || s.lost {
		return e, false
	}
	if e.Created, ok = readTime(top.created); !ok {
		return e, false
	}
	top.own(&e)
	return e, e.check() == nil
}

// topLevel is what an event says, in the payload's memory.
type topLevel struct {
	id, kind, created, operation, number []byte
	data, detail                         dataLevel
}

// dataLevel is what its data says, or the detail in that.
type dataLevel struct {
	number, decision []byte
	failed           string
	status           [4][]byte // as in statuses
	seen             uint      // a bit for each name
}

// own copies what e says into memory of its own, one piece for all.
func (t *topLevel) own(e *Event) {
	from := [...][]byte{
		t.id, t.kind, t.operation, firstOf(t.number, t.data.number),
		firstOf(t.data.decision, t.detail.decision),
		firstOf(firstOf(t.data.status[:]...), firstOf(t.detail.status[:]...)),
	}
	to := [...]*string{
		&e.ID, &e.Type, &e.OperationToken, &e.TransactionNum,
		&e.Findings.PolicyDecision, &e.Findings.Status,
	}
	size := 0
	for _, text := range from {
		size += len(text)
	}
	var all strings.Builder
	all.Grow(size)
	for _, text := range from {
		all.Write(text)
	}
	rest := all.String()
	for i, text := range from {
		*to[i], rest = rest[:len(text)], rest[len(text):]
	}
	e.Findings.FailedAssertions = t.data.failed
	if t.data.failed == "" {
		e.Findings.FailedAssertions = t.detail.failed
	}
}

// firstOf returns the first text that is not empty.
func firstOf(texts ...[]byte) []byte {
	for _, text := range texts {
		if len(text) > 0 {
			return text
		}
	}
	return nil
}

func (s *scanner) top(t *topLevel) {
	var seen uint
	s.expect('{')
	for name, ok := s.member(true); ok; name, ok = s.member(false) {
		switch string(name) {
		case "id":
			s.once(&seen, 0)
			t.id = s.orNull()
		case "type":
			s.once(&seen, 1)
			t.kind = s.orNull()
		case "created":
			s.once(&seen, 2)
			t.created = s.orNull()
		case "operationToken":
			s.once(&seen, 3)
			t.operation = s.orNull()
		case "transactionNum":
			s.once(&seen, 4)
			t.number = s.scalar(visible)
		case "data":
			s.once(&seen, 5)
			s.data(&t.data, &t.detail)
		default:
			s.skip()
		}
	}
}

// once notes a name, which must not have been there before.
func (s *scanner) once(seen *uint, name int) {
	s.lost = s.lost || *seen&(1<<name) != 0
	*seen |= 1 << name
}

// orNull reads a string; null leaves it empty.
func (s *scanner) orNull() []byte {
	if s.peek() == 'n' {
		s.literal("null")
		return nil
	}
	return s.verbatim()
}

// scalar is the parser's.
func (s *scanner) scalar(allowed class) (text []byte) {
	switch c := s.peek(); {
	case c == '"':
		text = s.verbatim()
	case c == '-' || '0' <= c && c <= '9':
		text = s.number()
	default:
		s.skip()
	}
	if !validName(text, allowed) {
		return nil
	}
	return text
}

// data reads the data object, if it is one. Without a detail it is one itself.
func (s *scanner) data(d, detail *dataLevel) {
	if s.peek() != '{' {
		s.skip()
		return
	}
	s.at++
	for name, ok := s.member(true); ok; name, ok = s.member(false) {
		switch string(name) {
		case "transactionNum":
			if detail == nil {
				s.skip()
				continue
			}
			s.once(&d.seen, 4)
			d.number = s.scalar(visible)
		case "responseDetail":
			if detail == nil {
				s.skip()
				continue
			}
			s.once(&d.seen, 5)
			s.data(detail, nil)
		case "policyDecision":
			s.once(&d.seen, 6)
			d.decision = s.scalar(printable)
		case "userAssertionList":
			s.once(&d.seen, 7)
			d.failed = s.assertionList()
		case "status":
			s.status(d, 0)
		case "enrollmentStatus":
			s.status(d, 1)
		case "authStatus":
			s.status(d, 2)
		case "completionStatus":
			s.status(d, 3)
		default:
			s.skip()
		}
	}
}

func (s *scanner) status(d *dataLevel, i int) {
	s.once(&d.seen, i)
	d.status[i] = s.scalar(printable)
}

// assertionList counts what failed in all entries; "": no entry has assertions.
func (s *scanner) assertionList() string {
	if s.peek() != '[' {
		s.skip()
		return ""
	}
	s.at++
	failed, any := 0, false
	for ok := s.more(']', true); ok; ok = s.more(']', false) {
		if s.peek() != '{' {
			s.skip()
			continue
		}
		s.at++
		for name, ok := s.member(true); ok; name, ok = s.member(false) {
			if string(name) != "assertions" || s.peek() != '{' {
				s.skip()
				continue
			}
			failed, any = failed+s.assertions(), true
		}
	}
	if !any {
		return ""
	}
	return strconv.Itoa(failed)
}

// assertions counts what failed in an object of them.
func (s *scanner) assertions() (failed int) {
	s.at++
	for _, ok := s.member(true); ok; _, ok = s.member(false) {
		if s.peek() != '"' {
			s.skip()
		} else if string(s.verbatim()) == "fail" {
			failed++
		}
	}
	return failed
}
