package backfill_test

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/awareid"
	"awareid-gateway/internal/simulator"
)

// TestBadNumbersDoNotStopOthers: those that the platform cannot answer for are given
// up in the end, and all others come, also where the bad ones are always first.
func TestBadNumbersDoNotStopOthers(t *testing.T) {
	bad := []string{"1", "2", "3", "4", "5", "6", "7", "50", "99"}
	for _, status := range []int{http.StatusBadRequest, http.StatusNotFound, http.StatusRequestEntityTooLarge} {
		t.Run(http.StatusText(status), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				r.platform.fails = failOn(status, bad...)
				end := r.begin()
				r.came(0, 0)
				r.came(251, 251)
				after(grace + 5*time.Minute)
				require.Len(t, r.kafka.ids(), 250-len(bad))
				after(time.Hour)
				require.EqualValues(t, len(bad), r.status().Unrecoverable)
				require.Zero(t, r.status().Missing+r.status().Retrying)
				end()
				require.Contains(t, r.log.String(), "no usable answer for some numbers")
			})
		})
	}
}

// TestNumbersThatBreakThePlatform are found, although it answers as if it were out
// of order, and an outage is taken for what it is.
func TestNumbersThatBreakThePlatform(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		bad := []string{"1", "2", "77"}
		r.platform.fails = failOn(http.StatusInternalServerError, bad...)
		end := r.begin()
		r.came(0, 0)
		r.came(101, 101)
		after(grace + time.Hour)
		require.Len(t, r.kafka.ids(), 97)
		after(5 * time.Hour)
		require.Zero(t, r.status().Missing)
		before := len(r.platform.asked())

		r.platform.set(func(p *platform) {
			p.fails = func([]string) error { return &awareid.Error{Status: http.StatusServiceUnavailable} }
		})
		r.came(202, 202)
		after(grace + 3*time.Hour)
		require.EqualValues(t, 100, r.status().Missing, "an outage is nobody's fault")
		require.Less(t, len(r.platform.asked())-before, 2*3*60+10, "two in a minute")
		r.platform.set(func(p *platform) { p.fails = nil })
		after(2 * time.Hour)
		require.Zero(t, r.status().Missing+r.status().Retrying)
		require.Len(t, r.kafka.ids(), 97+100+len(bad)-int(r.status().Unrecoverable))
		end()
		require.Contains(t, r.log.String(), "the platform fails at one number")
	})
}

// TestUnknownWebhook costs a few requests, and leaves most of the numbers alone.
func TestUnknownWebhook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.platform.set(func(p *platform) { p.err = &awareid.Error{Status: http.StatusNotFound} })
		end := r.begin()
		r.came(0, 0)
		r.came(101, 101)
		after(grace + interval)
		require.Less(t, len(r.platform.asked()), 20)
		require.EqualValues(t, 95, r.status().Missing)
		require.EqualValues(t, 5, r.status().Retrying)
		r.wantMetric("gateway_backfill_failures_total", `cause="not_found",`, 1)
		r.platform.set(func(p *platform) { p.err = nil })
		after(5 * time.Minute)
		require.Len(t, r.kafka.ids(), 100)
		end()
		require.Contains(t, r.log.String(), "AwareID answered 404")
	})
}

// TestAnElementThatIsNoEvent is refused, and costs nobody else anything.
func TestAnElementThatIsNoEvent(t *testing.T) {
	w := newWorld(t, 10)
	w.faults.On(eventData, simulator.Reply("application/json", `{"list":[`+strings.Join([]string{"7", string(w.events[0].Body), "[]"}, ",")+`]}`))
	s, err := w.fill(1, 2)
	require.NoError(t, err)
	require.Equal(t, 1, s.Requests)
	require.Equal(t, []string{w.events[0].ID}, w.kafka.ids())
	require.Equal(t, []string{"2"}, s.Unrecovered)
	w.wantMetric("gateway_backfill_refused_total", `reason="undecryptable",`, 2)
}
