package store

import (
	"time"

	"awareid-gateway/internal/event"
)

// record is one claim, or one alias, as File keeps it. Its methods are the rules of a claim,
// the same that the Lua scripts of Redis state. Times are in milliseconds since
// 1970.
type record struct {
	Token      string      `json:"t"`
	State      event.State `json:"s"`
	Replica    string      `json:"r,omitempty"`
	Topic      string      `json:"o"`
	Partition  int         `json:"p"`
	FromOffset int64       `json:"f,omitempty"`
	Offset     int64       `json:"x,omitempty"`
	LeaseUntil int64       `json:"u,omitempty"`
	Inherited  bool        `json:"v,omitempty"` // by the present owner
	AliasOf    string      `json:"a,omitempty"` // of an alias, which has nothing else but its time: see ownerOf
	Expires    int64       `json:"e"`           // when the record is forgotten
}

// claimed returns the first record of a claim.
func claimed(c event.Claim, terms event.Terms, now time.Time) *record {
	r := &record{
		Token:      c.Token,
		State:      event.Claimed,
		Replica:    c.Replica,
		Topic:      c.Topic,
		Partition:  c.Partition,
		FromOffset: c.FromOffset,
	}
	r.extend(terms.Lease, now)
	r.keep(terms.Keep, now)
	return r
}

// claim answers a claim of an event that has a record, and reports whether the
// record changed.
func (r *record) claim(c event.Claim, terms event.Terms, now time.Time) (verdict event.Verdict, changed bool) {
	switch {
	case r.State == event.Done:
		return event.Delivered, false
	case r.Token == c.Token:
		r.extend(terms.Lease, now)
	case r.State == event.Spooled || now.UnixMilli() <= r.LeaseUntil+terms.TakeoverWait.Milliseconds():
		return event.Busy, false
	default:
		r.Token, r.Replica, r.Inherited = c.Token, c.Replica, true
		r.extend(terms.Lease, now)
	}
	r.keep(terms.Keep, now)

	if r.Inherited {
		return event.Inherited, true
	}
	return event.Granted, true
}

func (r *record) renew(token string, lease time.Duration, now time.Time) bool {
	if r.Token != token || r.State != event.Claimed {
		return false
	}
	r.extend(lease, now)
	r.keep(lease, now)
	return true
}

func (r *record) spool(token string) bool {
	if r.Token != token || r.State == event.Done {
		return false
	}
	r.State, r.LeaseUntil = event.Spooled, 0
	return true
}

// confirm also drops what only an open claim needs.
func (r *record) confirm(d event.Delivery, now time.Time) bool {
	if r.Token != d.Token && (!d.Read || r.State == event.Done) {
		return false
	}
	*r = record{
		Token:     d.Token,
		State:     event.Done,
		Topic:     d.Topic,
		Partition: d.Partition,
		Offset:    d.Offset,
		Expires:   r.Expires,
	}
	r.keep(d.Keep, now)
	return true
}

// extend makes the lease last at least that long from now. Only a claimed record
// has one.
func (r *record) extend(lease time.Duration, now time.Time) {
	if r.State == event.Claimed {
		r.LeaseUntil = max(r.LeaseUntil, now.UnixMilli()+lease.Milliseconds())
	}
}

// keep makes the record last at least that long from now.
func (r *record) keep(d time.Duration, now time.Time) {
	r.Expires = max(r.Expires, now.UnixMilli()+d.Milliseconds())
}

func (r *record) expired(now time.Time) bool { return r.Expires <= now.UnixMilli() }

// event returns the record in the words of the event package.
func (r *record) event(key string) event.Claim {
	c := event.Claim{
		Key:        key,
		Token:      r.Token,
		State:      r.State,
		Replica:    r.Replica,
		Place:      event.Place{Topic: r.Topic, Partition: r.Partition},
		FromOffset: r.FromOffset,
		Offset:     r.Offset,
	}
	if r.State == event.Claimed {
		c.LeaseUntil = time.UnixMilli(r.LeaseUntil)
	}
	return c
}
