package reconcile_test

import (
	"context"
	"fmt"
	"iter"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/awareid"
	"awareid-gateway/internal/event"
	"awareid-gateway/internal/reconcile"
)

// crowd is Kafka with as many completed enrollments as a run can tell apart, and a
// platform that knows none of them, and looks at the memory when it is asked.
type crowd struct {
	world
	before, after runtime.MemStats
}

func (c *crowd) Read(_ context.Context, _ reconcile.Cursor, each func(reconcile.Record) error) error {
	runtime.GC()
	runtime.ReadMemStats(&c.before)
	for i := range reconcile.MaxKeys / 2 { // an event and an operation each
		e := event.Event{Type: "enrollment.completed", OperationToken: fmt.Sprint("operation-", i)}
		r := reconcile.Record{
			At:   reconcile.Position{Place: event.Place{Topic: "t", Partition: i % 12}, Offset: int64(i)},
			Time: time.Now(), Headers: e.Headers(webhook),
			Value: fmt.Appendf(nil, `{"data":{"registrationCode":"cad27b38-a0da-4599-b376-%012d"}}`, i),
		}
		if err := each(r); err != nil {
			return err
		}
	}
	return nil
}

func (c *crowd) Enrollments(context.Context) iter.Seq2[awareid.Page, error] {
	runtime.GC()
	runtime.ReadMemStats(&c.after)
	return func(func(awareid.Page, error) bool) {}
}

func (c *crowd) ReadAt(context.Context, reconcile.Position) (reconcile.Record, error) {
	return reconcile.Record{}, errAway
}

// BenchmarkMaxKeys tells what a full run holds in memory, and how long a record
// takes.
func BenchmarkMaxKeys(b *testing.B) {
	for b.Loop() {
		c := &crowd{}
		o := options(&c.world)
		o.Platform, o.Records = c, c
		r := reconcile.New(o).Once(b.Context())
		require.Equal(b, reconcile.MaxKeys/2, r.Unknown.Count)
		b.ReportMetric(float64(c.after.HeapAlloc-c.before.HeapAlloc)/(1<<20), "MiB")
		b.ReportMetric(float64(r.Ended.Sub(r.Began).Nanoseconds())/float64(r.Kafka.Records), "ns/record")
	}
}
