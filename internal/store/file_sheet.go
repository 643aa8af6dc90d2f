package store

import (
	"encoding/binary"
	"errors"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"

	"awareid-gateway/internal/event"
)

// sheet is what the file knows of a webhook's transaction numbers, in one
// transaction. It lies in the bucket "numbers", in a bucket for the webhook: a
// bucket of gaps for each kind, by last number (8 bytes, big endian), and a
// bucket of sums. Its methods are the rules that the scripts of Redis state.
type sheet struct {
	table *table
	gaps  map[event.GapKind]*bolt.Bucket
	sums  *bolt.Bucket
}

// Further names of sums.
const (
	sumFirst = "first" // the first number that came
	sumNext  = "next"  // the one behind the largest; 0: none came
	sumGaps  = "gaps " // a kind follows
)

// row is a gap as the file keeps it, and when it may be asked for again.
type row struct {
	first, last, since, attempts, due uint64
}

func openSheet(t *table, webhook string) (*sheet, error) {
	all, err := t.claims.Tx().CreateBucketIfNotExists([]byte("numbers"))
	if err != nil {
		return nil, err
	}
	own, err := all.CreateBucketIfNotExists([]byte(webhook))
	if err != nil {
		return nil, err
	}
	s := &sheet{table: t, gaps: map[event.GapKind]*bolt.Bucket{}}
	for _, kind := range event.GapKinds() {
		if s.gaps[kind], err = own.CreateBucketIfNotExists([]byte(kind)); err != nil {
			return nil, err
		}
	}
	s.sums, err = own.CreateBucketIfNotExists([]byte("sums"))
	return s, err
}

func (s *sheet) see(a, b, reach uint64) error {
	next := s.sum(sumNext)
	if next == 0 {
		return errors.Join(s.set(sumFirst, a), s.set(sumNext, b+1))
	}
	if b >= next {
		err := s.set(sumNext, b+1)
		if a > next {
			err = errors.Join(err, s.open(next, a-1))
		}
		if err != nil || a >= next {
			return err
		}
		b = next - 1
	}
	first := s.sum(sumFirst)
	room := b+1 >= first || s.sum(sumGaps+string(event.Missing)) < maxGaps
	if a < first && first <= b+reach && room {
		err := s.set(sumFirst, a)
		if b+1 < first {
			err = errors.Join(err, s.put(event.Missing, row{first: b + 1, last: first - 1, since: s.now()}))
		}
		if err != nil {
			return err
		}
	}
	for _, kind := range event.GapKinds() {
		if _, err := s.cut(kind, a, b, maxGaps); err != nil {
			return err
		}
	}
	return nil
}

// open notes a gap above all others.
func (s *sheet) open(first, last uint64) error {
	gap := row{first: first, last: last, since: s.now()}
	if s.sum(sumGaps+string(event.Missing)) >= maxGaps {
		under := readRow(s.gaps[event.Missing].Cursor().Last())
		if err := errors.Join(s.drop(event.Missing, under), s.add(sumMerged, 1)); err != nil {
			return err
		}
		gap.first, gap.since = under.first, under.since
	}
	return s.put(event.Missing, gap)
}

// cut takes the numbers from a to b out of the gaps of a kind, and returns the
// pieces. Where most is not 0, a gap is not split any more once there are so many.
func (s *sheet) cut(kind event.GapKind, a, b, most uint64) (pieces []row, err error) {
	for {
		k, v := s.gaps[kind].Cursor().Seek(bigEndian(a))
		if k == nil {
			return pieces, nil
		}
		gap := readRow(k, v)
		if gap.first > b {
			return pieces, nil
		}
		if most > 0 && gap.first < a && gap.last > b && s.sum(sumGaps+string(kind)) >= most {
			return pieces, s.add(sumMerged, 1)
		}
		err := s.drop(kind, gap)
		if gap.last > b {
			right := gap
			right.first = b + 1
			err = errors.Join(err, s.put(kind, right))
		}
		if gap.first < a {
			left := gap
			left.last = a - 1
			err = errors.Join(err, s.put(kind, left))
		}
		if err != nil {
			return nil, err
		}
		gap.first, gap.last = max(gap.first, a), min(gap.last, b)
		pieces = append(pieces, gap)
	}
}

func (s *sheet) due(grace time.Duration, limit uint64) (event.Due, error) {
	due := event.Due{Now: s.table.now}
	take := func(kind event.GapKind, into *[]event.Gap, ripe func(row) bool) {
		left, cursor := limit, s.gaps[kind].Cursor()
		for k, v := cursor.First(); k != nil && left > 0; k, v = cursor.Next() {
			if gap := readRow(k, v); ripe(gap) {
				gap.last = min(gap.last, gap.first+left-1)
				left -= gap.last - gap.first + 1
				*into = append(*into, gap.event())
			}
		}
	}
	if s.sum(sumGaps+string(event.Retrying)) < maxRetrying {
		old := s.table.now.Add(-grace).UnixMilli()
		take(event.Missing, &due.Missing, func(r row) bool { return int64(r.since) <= old }) // #nosec G115 -- milliseconds since 1970
	}
	take(event.Retrying, &due.Retry, func(r row) bool { return r.due <= s.now() })
	return due, nil
}

func (s *sheet) postpone(p event.Postponement) error {
	for _, kind := range []event.GapKind{event.Missing, event.Retrying} {
		pieces, err := s.cut(kind, p.First, p.Last, 0)
		for _, piece := range pieces {
			if p.GiveUp {
				err = errors.Join(err, s.giveUp(piece))
				continue
			}
			piece.attempts, piece.due = uint64(p.Attempts), s.now()+uint64(p.Wait.Milliseconds()) // #nosec G115 -- a count, and milliseconds
			err = errors.Join(err, s.put(event.Retrying, piece))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *sheet) giveUp(r row) error {
	r.attempts, r.due = 0, 0
	err := errors.Join(s.put(event.Unrecoverable, r), s.add(sumGivenUp, r.last-r.first+1))
	for err == nil && s.sum(sumGaps+string(event.Unrecoverable)) > maxUnrecoverable {
		oldest := readRow(s.gaps[event.Unrecoverable].Cursor().First())
		err = errors.Join(s.drop(event.Unrecoverable, oldest), s.add(sumForgotten, oldest.last-oldest.first+1))
	}
	return err
}

func (s *sheet) list(kind event.GapKind, from uint64, limit int) ([]event.Gap, error) {
	var gaps []event.Gap
	cursor := s.gaps[kind].Cursor()
	for k, v := cursor.Seek(bigEndian(from)); k != nil && len(gaps) < limit; k, v = cursor.Next() {
		if gap := readRow(k, v); gap.first >= from {
			gaps = append(gaps, gap.event())
		}
	}
	return gaps, nil
}

func (s *sheet) numbers() event.Numbers {
	next := s.sum(sumNext)
	n := event.Numbers{Now: s.table.now, Begun: next > 0, First: s.sum(sumFirst), Next: next}
	readSums(&n, s.sum)
	return n
}

func (s *sheet) setPace(p event.Pace) (err error) {
	writePace(p, func(name string, value uint64) { err = errors.Join(err, s.set(name, value)) })
	return err
}

// forget ends the sheet.
func (s *sheet) forget(webhook string) error {
	s.table.changed = true
	return s.table.claims.Tx().Bucket([]byte("numbers")).DeleteBucket([]byte(webhook))
}

func (s *sheet) put(kind event.GapKind, r row) error {
	return errors.Join(s.gaps[kind].Put(bigEndian(r.last), bigEndian(r.first, r.since, r.attempts, r.due)),
		s.add(string(kind), r.last-r.first+1), s.add(sumGaps+string(kind), 1))
}

func (s *sheet) drop(kind event.GapKind, r row) error {
	return errors.Join(s.gaps[kind].Delete(bigEndian(r.last)),
		s.add(string(kind), -(r.last-r.first+1)), s.add(sumGaps+string(kind), ^uint64(0)))
}

func (s *sheet) sum(name string) uint64 {
	value := s.sums.Get([]byte(name))
	if value == nil {
		return 0
	}
	return binary.BigEndian.Uint64(value)
}

// add takes away where n is the two's complement of what is to be taken.
func (s *sheet) add(name string, n uint64) error { return s.set(name, s.sum(name)+n) }

func (s *sheet) set(name string, value uint64) error {
	s.table.changed = true
	return s.sums.Put([]byte(name), bigEndian(value))
}

func (s *sheet) now() uint64 { return uint64(s.table.now.UnixMilli()) }

func bigEndian(all ...uint64) (b []byte) {
	for _, n := range all {
		b = binary.BigEndian.AppendUint64(b, n)
	}
	return slices.Clip(b)
}

func readRow(key, value []byte) row {
	at := func(i int) uint64 { return binary.BigEndian.Uint64(value[8*i:]) }
	return row{last: binary.BigEndian.Uint64(key), first: at(0), since: at(1), attempts: at(2), due: at(3)}
}

func (r row) event() event.Gap {
	return event.Gap{First: r.first, Last: r.last, Since: time.UnixMilli(int64(r.since)), Attempts: int(r.attempts)} // #nosec G115 -- a count, and milliseconds since 1970
}
