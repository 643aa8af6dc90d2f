package dispatch

import (
	"context"
	"errors"
	"fmt"
	"time"

	"awareid-gateway/internal/event"
)

// Find implements Producer. It reads the partition from an offset to the end of
// the leader's log, and waits there until all in-sync replicas have everything:
// a record that timed out for want of replicas lies above the high watermark,
// where no consumer sees it, and may yet come to stay. Where the partition does
// not have the offset it reads all there is: retention has deleted what was
// there, or the log is another one than when the offset was noted.
//
// Calls for the same partition share the reading (see search). Whatever fails
// is tried again until the context ends; the error says what failed last. What
// was read by then is remembered for a while: the next call for the same
// headers goes on behind it.
func (k *Kafka) Find(ctx context.Context, at event.Place, from int64, headers []event.Header) (int64, bool, error) {
	return k.find(ctx, at, &wanted{from: from, since: noTime, headers: headers})
}

// sinceStep is how far apart searches by time begin: those that begin together
// ask for one offset and read together.
const sinceStep = 10 * time.Minute

// FindSince implements Producer. A record cannot lie before the first one that
// is as young as it is. What retention has deleted is not found. It begins up to
// ten minutes earlier than it is asked to.
func (k *Kafka) FindSince(ctx context.Context, at event.Place, since time.Time, headers []event.Header) (int64, bool, error) {
	return k.find(ctx, at, &wanted{since: timestampOf(since.Truncate(sinceStep)), headers: headers})
}

// timestampOf is a time as Kafka counts it. Negative numbers mean ends, not times.
func timestampOf(t time.Time) int64 { return max(t.UnixMilli(), 0) }

var errNoHeaders = errors.New("a record is looked for by its headers, and there are none")

func (k *Kafka) find(ctx context.Context, at event.Place, w *wanted) (int64, bool, error) {
	if len(w.headers) == 0 {
		return 0, false, errNoHeaders
	}
	if err := ctx.Err(); err != nil {
		return 0, false, fmt.Errorf("read %s/%d back: %w", at.Topic, at.Partition, err)
	}
	w.epoch, w.done = anyEpoch, make(chan struct{})
	s := k.searches.of(k, at)
	s.join(w)
	select {
	case <-w.done:
	case <-ctx.Done():
		if cause := s.leave(w); cause != nil {
			return 0, false, fmt.Errorf("read %s/%d back: %w: %w", at.Topic, at.Partition, ctx.Err(), cause)
		}
	}
	return w.offset, w.found, nil
}
