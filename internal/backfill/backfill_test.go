package backfill_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/awareid"
	"awareid-gateway/internal/backfill"
	"awareid-gateway/internal/dispatch"
	"awareid-gateway/internal/event"
)

// after lets time pass, and then everything that waits for it.
func after(d time.Duration) {
	time.Sleep(d) // of the bubble
	synctest.Wait()
}

func TestHolesAreFilled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.begin()
		r.came(1, 20, 5, 6, 12)
		after(grace + interval)
		require.Empty(t, r.platform.asked(), "the batch is not full")
		r.wantMetric("gateway_backfill_numbers", `kind="missing",`, 3)
		after(3 * interval)
		require.Equal(t, [][]string{{"5", "6", "12"}}, r.platform.asked())
		require.Equal(t, []string{"event-12", "event-5", "event-6"}, sorted(r.kafka.ids()))
		require.Equal(t, dispatch.Backfill, r.kafka.got[0].Origin)
		require.Equal(t, hookID, r.kafka.got[0].WebhookID)
		after(time.Hour)
		require.Len(t, r.platform.asked(), 1)
		require.Zero(t, r.status().Missing)
		r.wantMetric("gateway_backfill_numbers", `kind="missing",`, 0)
		r.wantMetric("gateway_backfill_events_total", `outcome="accepted",`, 3)
		r.wantMetric("gateway_backfill_leader", "", 1)
	})
}

// TestFullBatches: there is one request for each hundred numbers, and they are
// asked for without a wait once the grace is over.
func TestFullBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.begin()
		r.came(0, 0)
		r.came(451, 451)
		after(grace + interval)
		require.Len(t, r.platform.asked(), 4)
		after(3 * interval)
		calls := r.platform.asked()
		require.Len(t, calls, 5)
		require.Equal(t, []string{"401", "450"}, []string{calls[4][0], calls[4][49]})
		require.Len(t, r.kafka.ids(), 450)
	})
}

// TestOrderOfAnOperation: the events of an operation go out in the order of their
// numbers, in whatever order they were answered.
func TestOrderOfAnOperation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.begin()
		r.came(10, 20, 11, 12, 13, 14, 15, 16, 17) // one operation, by the first digit
		after(grace + 4*interval)
		require.Equal(t, []string{"event-11", "event-12", "event-13", "event-14", "event-15", "event-16", "event-17"}, r.kafka.ids())
	})
}

func TestUnrecoverable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.platform.lacks = func(n string) bool { return n == "5" || n == "6" }
		r.begin()
		r.came(1, 20, 5, 6, 8, 9)
		after(grace + 4*interval)
		require.Equal(t, [][]string{{"5", "6", "8", "9"}}, r.platform.asked())
		require.EqualValues(t, 2, r.status().Retrying)
		after(4 * interval)
		require.Len(t, r.platform.asked(), 2)
		after(6 * interval)
		require.Len(t, r.platform.asked(), 2, "the wait grows")
		after(3 * interval)
		require.Equal(t, []string{"5", "6"}, r.platform.asked()[2])
		require.EqualValues(t, 2, r.status().Unrecoverable)
		after(24 * time.Hour)
		require.Len(t, r.platform.asked(), 3, "three attempts")
		r.wantMetric("gateway_backfill_numbers", `kind="unrecoverable",`, 2)
		gaps, err := r.Unrecoverable(t.Context(), "", 10)
		require.NoError(t, err)
		require.Equal(t, []uint64{1, 5, 6}, []uint64{uint64(len(gaps)), gaps[0].First, gaps[0].Last})

		r.came(6, 6) // at last
		require.EqualValues(t, 1, r.status().Unrecoverable)
	})
}

// TestPause: numbers that are not ours end in a pause, which ends by itself, or
// becomes longer, and does not depend on who runs.
func TestPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(o *backfill.Options) { o.Attempts = 100 })
		r.platform.lacks = func(string) bool { return true }
		end := r.begin()
		r.came(1, 1)
		r.came(1001, 1001)
		after(grace + 4*interval)
		require.Len(t, r.platform.asked(), 1)
		require.True(t, r.status().Paused())
		require.Contains(t, r.log.String(), "backfill pauses")
		r.wantMetric("gateway_backfill_paused", "", 1)

		end()
		second := backfill.New(func() backfill.Options { o := r.opts; o.Metrics = nil; return o }())
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		go second.Run(ctx)
		after(9 * time.Minute)
		require.Len(t, r.platform.asked(), 1, "a pause survives a restart")
		after(time.Minute + interval)
		require.Len(t, r.platform.asked(), 2, "one batch decides again")
		after(19 * time.Minute)
		require.Len(t, r.platform.asked(), 2, "twice as long")

		r.platform.set(func(p *platform) { p.lacks = nil })
		require.NoError(t, second.Resume(t.Context(), ""))
		after(time.Hour)
		require.False(t, r.status().Paused())
		require.Zero(t, r.status().Missing+r.status().Retrying)
	})
}

// TestFewNumbersAreNoJudgement: what is missing may be missing at the platform.
func TestFewNumbersAreNoJudgement(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.platform.lacks = func(string) bool { return true }
		r.begin()
		r.came(1, 1)
		r.came(100, 100)
		after(24 * time.Hour)
		require.Len(t, r.platform.asked(), 3)
		require.Zero(t, r.status().Pauses)
		require.EqualValues(t, 98, r.status().Unrecoverable)
	})
}

// TestFailuresLeaveNumbersDue: whatever is away, no number is given up for it, and
// the requests become rare.
func TestFailuresLeaveNumbersDue(t *testing.T) {
	cases := map[string]struct {
		cause string
		fail  func(*rig, error)
		err   error
	}{
		"platform":    {"unavailable", func(r *rig, err error) { r.platform.set(func(p *platform) { p.err = err }) }, awareid.ErrUnavailable},
		"credentials": {"unauthorized", func(r *rig, err error) { r.platform.set(func(p *platform) { p.err = err }) }, awareid.ErrUnauthorized},
		"kafka":       {"kafka", func(r *rig, err error) { r.kafka.fail(err) }, dispatch.ErrNotStored},
		"store":       {"store", func(r *rig, err error) { r.kafka.fail(err) }, dispatch.ErrStore},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				tc.fail(r, tc.err)
				r.begin()
				r.came(1, 9, 5, 7)
				after(grace + time.Hour)
				require.Greater(t, len(r.platform.asked()), 30)
				require.Less(t, len(r.platform.asked()), 70, "one in a minute or so")
				status := r.status()
				require.Equal(t, []uint64{2, 0, 0}, []uint64{status.Missing + status.Retrying, status.Unrecoverable, status.Asked})
				r.wantMetric("gateway_backfill_failures_total", fmt.Sprintf("cause=%q,", tc.cause), float64(len(r.platform.asked())))

				tc.fail(r, nil)
				after(2 * time.Minute)
				require.Equal(t, []string{"event-5", "event-7"}, sorted(r.kafka.ids()))
			})
		})
	}
}

// TestQuarantinedIsSettled: what the broker refuses would be refused again.
func TestQuarantinedIsSettled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.kafka.result = dispatch.Quarantined
		r.begin()
		r.came(1, 9, 5)
		after(time.Hour)
		require.Len(t, r.platform.asked(), 1)
		require.Zero(t, r.status().Missing)
	})
}

// TestHangingPlatform does not keep a gateway from its end.
func TestHangingPlatform(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.platform.hangs = true
		end := r.begin()
		r.came(1, 9, 5)
		after(time.Hour)
		require.Len(t, r.platform.asked(), 1)
		end()
		require.EqualValues(t, 1, r.status().Missing)
	})
}

// lease is a Leader in memory.
type lease struct {
	mu   sync.Mutex
	who  string
	ends time.Time
	dead map[string]bool // who cannot reach it any more
}

func (l *lease) Lead(_ context.Context, _, who string, d time.Duration) (bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dead[who] {
		return false, errors.New("cut off")
	}
	if l.who != who && time.Now().Before(l.ends) {
		return false, nil
	}
	l.who, l.ends = who, time.Now().Add(d)
	return true, nil
}

// TestLeaderIsCutOff in the middle of a batch: it ends what it does, and the next
// one asks again.
func TestLeaderIsCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := &lease{dead: map[string]bool{}}
		r := newRig(t, func(o *backfill.Options) { o.Leader = shared })
		r.platform.hangs = true
		r.begin()
		r.came(1, 9, 5, 7)
		after(grace + 4*interval)
		require.Len(t, r.platform.asked(), 1)

		healthy := &platform{}
		second := backfill.New(func() backfill.Options { o := r.opts; o.Metrics, o.Platform = nil, healthy; return o }())
		go second.Run(t.Context())
		after(time.Minute)
		require.Empty(t, healthy.asked(), "the lease is renewed while the platform hangs")
		shared.mu.Lock()
		shared.dead[shared.who] = true
		shared.mu.Unlock()
		after(5 * interval)
		require.Equal(t, [][]string{{"5", "7"}}, healthy.asked())
		r.wantMetric("gateway_backfill_leader", "", 0)
		require.Equal(t, []string{"event-5", "event-7"}, sorted(r.kafka.ids()))
		require.Len(t, r.platform.asked(), 1)
	})
}

// TestHandover: who stops lets another one go on at once.
func TestHandover(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := &lease{}
		r := newRig(t, func(o *backfill.Options) { o.Leader = shared })
		end := r.begin()
		synctest.Wait()
		end()
		leads, err := shared.Lead(t.Context(), "backfill", "another", time.Second)
		require.NoError(t, err)
		require.True(t, leads)
	})
}

// TestEverySecondComes at exactly half: that is no reason to pause.
func TestEverySecondComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.platform.lacks = func(n string) bool { return n[len(n)-1]%2 == 1 }
		r.begin()
		r.came(1, 1)
		r.came(602, 602)
		after(3 * time.Hour)
		require.Zero(t, r.status().Pauses)
		require.EqualValues(t, 300, r.status().Unrecoverable)
		require.Equal(t, event.Pace{}, r.status().Pace)
		require.Len(t, r.platform.asked(), 6+2*3, "six batches, and three of what did not come, twice")
	})
}
