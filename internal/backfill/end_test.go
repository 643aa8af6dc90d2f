package backfill_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/backfill"
	"awareid-gateway/internal/dispatch"
)

// slow is a dispatcher that takes its time, unless its context ends.
type slow struct {
	takes   time.Duration
	entered atomic.Int32
}

func (s *slow) Ready(context.Context) error { return nil }

func (s *slow) Dispatch(ctx context.Context, _ dispatch.Inbound) (dispatch.Outcome, error) {
	s.entered.Add(1)
	select {
	case <-time.After(s.takes):
		return dispatch.Accepted, nil
	case <-ctx.Done():
		return "", errors.Join(dispatch.ErrStore, ctx.Err())
	}
}

// TestEndInTheMiddleOfABatch: what has begun is ended, within bounds, and the store
// is told of it; nothing else begins.
func TestEndInTheMiddleOfABatch(t *testing.T) {
	for name, tc := range map[string]struct {
		takes    time.Duration
		outcomes map[backfill.Outcome]uint64
		missing  uint64
	}{
		"in time": {
			takes: 2 * time.Second, missing: 4,
			outcomes: map[backfill.Outcome]uint64{backfill.Accepted: 2, backfill.Failed: 4},
		},
		"not in time": {
			takes: time.Minute, missing: 6,
			outcomes: map[backfill.Outcome]uint64{backfill.Failed: 6},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &slow{takes: tc.takes}
				r := newRig(t, func(o *backfill.Options) { o.Dispatcher = s })
				r.came(10, 30, 11, 12, 13, 21, 22, 23) // two operations, by the first digit
				ctx, cancel := context.WithCancel(t.Context())
				time.AfterFunc(time.Second, cancel)
				began := time.Now()
				summary, err := r.Fill(ctx, backfill.Request{}, nil)
				require.ErrorIs(t, err, context.Canceled)
				require.LessOrEqual(t, time.Since(began), 5*time.Second)
				require.EqualValues(t, 2, s.entered.Load())
				require.Equal(t, tc.outcomes, summary.Outcomes)
				require.Equal(t, tc.missing, r.status().Missing)
			})
		})
	}
}

// TestSlowEventsHaveTheirTime: without an end an event has its time.
func TestSlowEventsHaveTheirTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &slow{takes: time.Minute}
		r := newRig(t, func(o *backfill.Options) { o.Dispatcher = s })
		r.came(10, 20, 11, 12)
		summary, err := r.Fill(t.Context(), backfill.Request{}, nil)
		require.NoError(t, err)
		require.EqualValues(t, 2, summary.Outcomes[backfill.Accepted])
		require.Zero(t, r.status().Missing)
	})
}

// TestOnlyWhatKafkaHasIsSettled: an event on a disk is not in Kafka.
func TestOnlyWhatKafkaHasIsSettled(t *testing.T) {
	r := newRig(t)
	r.kafka.result = dispatch.Spooled
	r.came(1, 9, 5)
	_, err := r.Fill(t.Context(), backfill.Request{}, nil)
	require.NoError(t, err)
	require.EqualValues(t, 1, r.status().Missing)
}
