package backfill

import (
	"context"
	"errors"

	"github.com/prometheus/client_golang/prometheus"

	"awareid-gateway/internal/awareid"
	"awareid-gateway/internal/dispatch"
	"awareid-gateway/internal/event"
)

// metrics carry labels that are ours alone: webhook ids, and a few words.
type metrics struct {
	events, refused, failures *prometheus.CounterVec
	numbers, paused, merged   *prometheus.GaugeVec
	leader                    prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer) metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
	}
	m := metrics{
		events:   counter("gateway_backfill_events_total", "Events that were fetched, by outcome.", "webhook", "outcome"),
		refused:  counter("gateway_backfill_refused_total", "Elements of event data that were refused, by reason.", "webhook", "reason"),
		failures: counter("gateway_backfill_failures_total", "Rounds of fetching that failed, by cause.", "webhook", "cause"),
		numbers:  gauge("gateway_backfill_numbers", "Transaction numbers that have not come, by kind: missing, retrying, unrecoverable.", "webhook", "kind"),
		paused:   gauge("gateway_backfill_paused", "1 while nothing is fetched, because the numbers are not dense or not ours.", "webhook"),
		merged:   gauge("gateway_backfill_gaps_merged", "Times that a gap was not told from another, because there were too many.", "webhook"),
		leader:   prometheus.NewGauge(prometheus.GaugeOpts{Name: "gateway_backfill_leader", Help: "1 while this replica is the one that fetches."}),
	}
	if reg != nil {
		reg.MustRegister(m.events, m.refused, m.failures, m.numbers, m.paused, m.merged, m.leader)
	}
	return m
}

func (m metrics) show(webhook string, n event.Numbers) {
	for kind, count := range map[event.GapKind]uint64{
		event.Missing: n.Missing, event.Retrying: n.Retrying, event.Unrecoverable: n.Unrecoverable,
	} {
		m.numbers.WithLabelValues(webhook, string(kind)).Set(float64(count))
	}
	m.paused.WithLabelValues(webhook).Set(oneIf(n.Now.Before(n.Until)))
	m.merged.WithLabelValues(webhook).Set(float64(n.Merged))
}

func (m metrics) lead(leads bool) { m.leader.Set(oneIf(leads)) }

func (m metrics) settled(webhook string, o Outcome) {
	m.events.WithLabelValues(webhook, string(o)).Inc()
}

func (m metrics) refuse(webhook string, r Reason, n int) {
	m.refused.WithLabelValues(webhook, string(r)).Add(float64(n))
}

func (m metrics) failed(webhook string, err error) {
	m.failures.WithLabelValues(webhook, causeOf(err)).Inc()
}

// causeOf is one of a few words for an error.
func causeOf(err error) string {
	for _, c := range []struct {
		of   error
		word string
	}{
		{awareid.ErrUnauthorized, "unauthorized"}, {awareid.ErrNotFound, "not_found"},
		{awareid.ErrThrottled, "throttled"}, {awareid.ErrMalformed, "malformed"},
		{awareid.ErrUnavailable, "unavailable"},
		{dispatch.ErrStore, "store"}, {dispatch.ErrInFlight, "in_flight"},
		{dispatch.ErrNotStored, "kafka"}, {dispatch.ErrUnknown, "kafka"}, {dispatch.ErrRefused, "kafka"},
		{context.DeadlineExceeded, "timeout"},
	} {
		if errors.Is(err, c.of) {
			return c.word
		}
	}
	return "other"
}

func oneIf(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
