package reconcile

import (
	"cmp"
	"errors"
	"hash/maphash"
	"slices"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"awareid-gateway/internal/awareid"
	"awareid-gateway/internal/event"
	"awareid-gateway/internal/privacy"
)

// comparison is what a run knows: by hashes of what is compared, so that its size
// does not depend on what others wrote. It does no I/O.
type comparison struct {
	field    string
	conceal  func(jsontext.Value) (string, error) // see Options.Hash
	source   string                               // of the events that count; "": any of the gateway's
	since    time.Time                            // zero: all counts
	ripe     time.Time                            // what began before is old enough to have ended
	late     bool                                 // what comes now is of after the platform's list
	maxKeys  int
	kafka    KafkaCounts
	platform PlatformCounts

	seed       maphash.Seed
	places     []event.Place
	placed     map[event.Place]int32
	completed  map[uint64]completion
	operations map[uint64]operation
	missing    map[uint64]struct{}

	missed []missed // the first of the missing, and some that no longer are
}

// completion is an enrollment.completed event.
type completion struct {
	offset int64
	place  int32
	known  bool // to the platform
}

// operation is what the events tell of one.
type operation struct {
	offset int64 // of the event that began it, the B2C one where there is one
	place  int32
	state  state
}

type state uint8

const (
	begun state = 1 << iota
	ended
	ofB2C
	young // began a moment ago
)

type missed struct {
	key uint64
	MissingEnrollment
}

// errTooMany ends a run whose period is too long.
var errTooMany = errors.New("there is more to compare than fits: choose a shorter period")

func newComparison(field, source string, since, ripe time.Time, maxKeys int) *comparison {
	return &comparison{
		field: field, source: source, since: since, ripe: ripe, maxKeys: maxKeys,
		seed: maphash.MakeSeed(), placed: map[event.Place]int32{},
		completed: map[uint64]completion{}, operations: map[uint64]operation{}, missing: map[uint64]struct{}{},
	}
}

// record takes note of a record. It returns errTooMany.
func (c *comparison) record(r Record) error {
	c.kafka.Records++
	f, ours := r.read()
	if !ours || c.source != "" && f.source != c.source {
		c.kafka.Passed++
		return nil
	}
	if f.operation != "" {
		c.operation(r, f)
	}
	if f.kind == completed {
		c.completion(r)
	}
	return c.full()
}

func (c *comparison) full() error {
	if len(c.completed)+len(c.operations)+len(c.missing) > c.maxKeys {
		return errTooMany
	}
	return nil
}

// operation notes begin and end in any order: an event that was fetched later
// stands behind those that came after it.
func (c *comparison) operation(r Record, f facts) {
	s, b2c := stepOf(f.kind)
	if s == between {
		return
	}
	key := c.hash(f.operation)
	o := c.operations[key]
	switch {
	case s == ends:
		o.state |= ended
	case o.state&begun == 0 || b2c:
		o.state |= begun
		o.place, o.offset = c.place(r.At.Place), r.At.Offset
		if b2c {
			o.state |= ofB2C
		}
		if !r.Time.Before(c.ripe) {
			o.state |= young
		}
	}
	c.operations[key] = o
}

// completion matches an event with an enrollment that is missed.
func (c *comparison) completion(r Record) {
	value := valueOf(r.Value, c.field)
	if scalar(value) == "" {
		c.kafka.Unjoinable++
		return
	}
	key := c.join(value)
	if _, awaited := c.missing[key]; awaited {
		delete(c.missing, key)
		c.platform.Matched++
	}
	if _, again := c.completed[key]; !again && !c.late {
		c.completed[key] = completion{place: c.place(r.At.Place), offset: r.At.Offset}
	}
}

// enrollment takes note of what the platform lists. It returns errTooMany.
func (c *comparison) enrollment(e awareid.Enrollment) error {
	c.platform.Enrollments++
	written := e.Value(c.field)
	value := scalar(written)
	if value == "" {
		c.platform.Unjoinable++
		return nil
	}
	key := c.join(written)
	if seen, ok := c.completed[key]; ok {
		seen.known = true
		c.completed[key] = seen
		c.platform.Matched++
		return nil
	}
	began, dated := beganAt(e)
	switch {
	case c.since.IsZero():
	case !dated:
		c.platform.Undated++
		return nil
	case began.Before(c.since):
		c.platform.Earlier++
		return nil
	}
	c.miss(key, MissingEnrollment{RegistrationCode: e.RegistrationCode, Value: value, Began: began})
	return c.full()
}

func (c *comparison) miss(key uint64, m MissingEnrollment) {
	if _, again := c.missing[key]; again {
		return
	}
	c.missing[key] = struct{}{}
	if len(c.missed) < MaxListed {
		c.missed = append(c.missed, missed{key, m})
	}
}

// missingNow are those for which no event has come meanwhile.
func (c *comparison) missingNow() MissingEnrollments {
	m := MissingEnrollments{Count: len(c.missing), List: []MissingEnrollment{}}
	for _, one := range c.missed {
		if _, still := c.missing[one.key]; still {
			m.List = append(m.List, one.MissingEnrollment)
		}
	}
	return m
}

// found is a key and where the record behind it lies.
type found struct {
	key uint64
	b2c bool
	at  Position
}

// sample counts what is found and keeps no more of it than a report lists.
type sample struct {
	count int
	kept  []found
}

func (s *sample) add(f found) {
	s.count++
	if len(s.kept) < MaxListed {
		s.kept = append(s.kept, f)
	}
}

func (s *sample) sorted() []found {
	slices.SortFunc(s.kept, func(a, b found) int { return comparePositions(a.at, b.at) })
	return s.kept
}

// unended are the operations that began some time ago and have no end: those of B2C,
// which can be looked up, and the others.
func (c *comparison) unended() (b2c, others sample) {
	for key, o := range c.operations {
		if o.state&(begun|ended|young) != begun {
			continue
		}
		f := found{key: key, b2c: o.state&ofB2C != 0, at: c.position(o.place, o.offset)}
		if f.b2c {
			b2c.add(f)
		} else {
			others.add(f)
		}
	}
	return b2c, others
}

func (c *comparison) hasEnded(key uint64) bool { return c.operations[key].state&ended != 0 }

// unknown are the events whose enrollment the platform did not list.
func (c *comparison) unknown() (s sample) {
	for key, e := range c.completed {
		if !e.known {
			s.add(found{key: key, at: c.position(e.place, e.offset)})
		}
	}
	return s
}

// join is the key of the member that both sides have in common. Where events show a
// hash of it, what does not yet is hashed here.
func (c *comparison) join(value jsontext.Value) uint64 {
	text := scalar(value)
	if c.conceal != nil && !privacy.IsHash(text) {
		if hashed, err := c.conceal(value); err == nil { // else it is not UTF-8, and in no event
			text = hashed
		}
	}
	return c.hash(text)
}

func (c *comparison) hash(text string) uint64 { return maphash.String(c.seed, text) }

// place numbers the partitions, to keep a place small.
func (c *comparison) place(at event.Place) int32 {
	n, ok := c.placed[at]
	if !ok {
		n = int32(len(c.places)) // #nosec G115 -- a count of partitions
		c.placed[at] = n
		c.places = append(c.places, at)
	}
	return n
}

func (c *comparison) position(place int32, offset int64) Position {
	return Position{Place: c.places[place], Offset: offset}
}

func comparePositions(a, b Position) int {
	return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition), cmp.Compare(a.Offset, b.Offset))
}
