package dispatch

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/segmentio/kafka-go"

	"awareid-gateway/internal/event"
)

// RecordHead is what a scan tells of a record: all but its key and its value.
type RecordHead struct {
	Offset  int64
	Time    time.Time
	Headers []event.Header
}

// Scan calls each for every record of a partition, in order: from the first one
// that is as young as since, by the records' own times, up to the first one that
// is as young as until, which is left out. Where until is zero, or no record is
// as young, it goes up to the end that the leader's log had at the time of the
// call. So the scans of two periods that touch leave out nothing between them,
// and tell nothing twice. Times count in whole milliseconds, as Kafka's do.
//
// A record is told once all in-sync replicas have it; Scan waits for that. What
// retention has deleted is left out, as are the marks of transactions; records
// of aborted transactions are not. No more than one fetch is held in memory. The
// record and its bytes are valid during the call of each.
//
// What fails is tried again until the context ends; the error then says what
// failed last. An error of each ends the scan and is returned as it is. A leader
// that moves meanwhile does no harm, as long as only in-sync replicas are
// elected. Safe for concurrent use.
func (k *Kafka) Scan(ctx context.Context, at event.Place, since, until time.Time, each func(RecordHead) error) error {
	p := period{since: timestampOf(since), until: math.MaxInt64, each: each}
	if !until.IsZero() {
		p.until = timestampOf(until)
	}
	err := k.insist(ctx, func() error { return k.locate(ctx, at, &p) })
	if err != nil {
		return fmt.Errorf("ask for an offset of %s/%d: %w", at.Topic, at.Partition, err)
	}
	for p.next < p.end && err == nil {
		err = k.readOn(ctx, at, &p)
	}
	if errors.Is(err, errPast) {
		return nil
	}
	return err
}

// period is what a scan is to read.
type period struct {
	since, until int64 // in Unix milliseconds
	next, end    int64 // offsets
	begun        bool  // a record as young as since was there
	headers      []event.Header
	each         func(RecordHead) error
}

// errPast says that the period is over.
var errPast = errors.New("the record is of after the period")

func (k *Kafka) locate(ctx context.Context, at event.Place, p *period) error {
	f, err := k.askFrontier(ctx, at)
	if err != nil {
		return err
	}
	p.end = f.end
	p.next, err = k.offsetAt(ctx, at, p.since, f)
	return err
}

// readOn reads once, and waits a moment where nothing comes.
func (k *Kafka) readOn(ctx context.Context, at event.Place, p *period) error {
	answer, start, err := k.fetch(ctx, at, p.next)
	if err != nil {
		return err
	}
	if start < p.next {
		return fmt.Errorf("read %s/%d: the log was cut below offset %d", at.Topic, at.Partition, p.next)
	}
	p.next, err = walk(answer, start, p.visit)
	switch {
	case err != nil:
		return err
	case p.next == start && p.next < p.end && !pause(ctx, findMaxWait):
		return fmt.Errorf("read %s/%d: %w", at.Topic, at.Partition, standstill(start, answer.HighWatermark))
	}
	return nil
}

func (p *period) visit(r *kafka.Record) error {
	at := r.Time.UnixMilli()
	p.begun = p.begun || at >= p.since
	switch {
	case r.Offset >= p.end || p.begun && at >= p.until:
		return errPast
	case !p.begun:
		return nil
	}
	p.headers = p.headers[:0]
	for _, h := range r.Headers {
		p.headers = append(p.headers, event.Header(h))
	}
	return p.each(RecordHead{Offset: r.Offset, Time: r.Time, Headers: p.headers})
}
