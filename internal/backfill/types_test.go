package backfill_test

import (
	"context"
	"iter"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/awareid"
	"awareid-gateway/internal/backfill"
	"awareid-gateway/internal/dispatch"
)

// answers is a platform that gives one answer.
type answers []string

func (a answers) EventData(_ context.Context, _ string, numbers []string) iter.Seq2[awareid.Batch, error] {
	return func(yield func(awareid.Batch, error) bool) {
		batch := awareid.Batch{Numbers: numbers}
		for _, body := range a {
			batch.Bodies = append(batch.Bodies, []byte(body))
		}
		yield(batch, nil)
	}
}

// picky is a dispatcher that fails for some events.
type picky struct {
	kafka
	fails func(dispatch.Inbound) bool
}

func (p *picky) Dispatch(ctx context.Context, in dispatch.Inbound) (dispatch.Outcome, error) {
	if p.fails(in) {
		return "", dispatch.ErrNotStored
	}
	return p.kafka.Dispatch(ctx, in)
}

// ofType is the body of number 5 with another type, and the id and operation that
// go with it.
func ofType(kind string, created time.Time) string {
	return strings.NewReplacer("enrollment.started", kind, "event-5", "event-5-"+kind, "op-5", "op-"+kind).
		Replace(string(body("5", created)))
}

// TestTypesUnderOneNumber are several events, and the number is settled when all
// of them are.
func TestTypesUnderOneNumber(t *testing.T) {
	now := time.Now()
	completed, started := ofType("enrollment.completed", now), ofType("enrollment.started", now.Add(-time.Minute))
	again := strings.Replace(started, `"id":"event-5`, `"id":"another-5`, 1)
	for name, tc := range map[string]struct {
		fails   string // a type
		worst   backfill.Outcome
		missing uint64
	}{
		"both come":        {worst: backfill.Accepted},
		"the first fails":  {fails: "enrollment.started", worst: backfill.Failed, missing: 1},
		"the second fails": {fails: "enrollment.completed", worst: backfill.Failed, missing: 1},
	} {
		t.Run(name, func(t *testing.T) {
			p := &picky{fails: func(in dispatch.Inbound) bool { return in.Event.Type == tc.fails }}
			r := newRig(t, func(o *backfill.Options) {
				o.Platform, o.Dispatcher = answers{completed, started, again}, p
			})
			r.came(1, 9, 5)
			s, err := r.Fill(t.Context(), backfill.Request{}, nil)
			require.NoError(t, err)
			require.Equal(t, map[backfill.Reason]uint64{backfill.Repeated: 1}, s.Refused)
			require.Equal(t, map[backfill.Outcome]uint64{tc.worst: 1}, s.Outcomes)
			require.Equal(t, tc.missing, r.status().Missing)
			require.Len(t, p.ids(), 2-int(tc.missing))
		})
	}
}

// TestTypesInOrder: of one number's events the earlier goes first.
func TestTypesInOrder(t *testing.T) {
	now := time.Now()
	completed, started := ofType("enrollment.completed", now), ofType("enrollment.started", now.Add(-time.Minute))
	completed = strings.Replace(completed, "op-enrollment.completed", "op-enrollment.started", 1)
	r := newRig(t, func(o *backfill.Options) { o.Platform = answers{completed, started} })
	_, err := r.Fill(t.Context(), backfill.Request{From: at(5), To: at(5)}, nil)
	require.NoError(t, err)
	require.Equal(t, []string{"event-5-enrollment.started", "event-5-enrollment.completed"}, r.kafka.ids())
}

// TestWhatCannotBeDispatched stands back for the numbers behind it, and is no
// attempt in vain.
func TestWhatCannotBeDispatched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mended atomic.Bool
		p := &picky{fails: func(in dispatch.Inbound) bool {
			n, _ := in.Event.Sequence()
			return n <= 101 && !mended.Load()
		}}
		r := newRig(t, func(o *backfill.Options) { o.Dispatcher = p })
		r.begin()
		r.came(1, 1)
		r.came(202, 202)
		time.Sleep(grace + time.Hour)
		require.Len(t, p.ids(), 100, "the ones behind")
		require.EqualValues(t, 0, r.status().Unrecoverable)
		mended.Store(true)
		time.Sleep(10 * time.Minute)
		require.Len(t, p.ids(), 200)
	})
}

// TestWhileOthersAreWaitedFor the platform is not asked, and right after it is.
func TestWhileOthersAreWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.kafka.waits = dispatch.ErrNotStored
		r.begin()
		r.came(1, 9, 5)
		time.Sleep(grace + time.Hour)
		require.Empty(t, r.platform.asked())
		r.kafka.mu.Lock()
		r.kafka.waits = nil
		r.kafka.mu.Unlock()
		time.Sleep(2 * interval)
		require.Equal(t, []string{"event-5"}, r.kafka.ids())
	})
}
