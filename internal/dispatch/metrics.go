package dispatch

import (
	"github.com/prometheus/client_golang/prometheus"

	"awareid-gateway/internal/spool"
)

type metrics struct {
	inherited, unknown, confirmed, lost, spooled, drained, unchecked, dropped, memories, restored, forgotten, renamed prometheus.Counter

	without *prometheus.CounterVec // by webhook
}

func newMetrics(reg prometheus.Registerer) metrics {
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
		reg.MustRegister(c)
		return c
	}
	without := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "gateway_events_without_number_total", Help: "Events taken whose transaction number is absent or not a decimal one: their loss would show no hole.",
	}, []string{"webhook"})
	reg.MustRegister(without)
	return metrics{
		without:   without,
		forgotten: counter("gateway_numbers_forgotten_total", "Transaction numbers that the store could not be told; backfill fetches their events and finds duplicates."),
		renamed:   counter("gateway_events_renamed_total", "Events that came under another id than before, known by their transaction number."),
		inherited: counter("gateway_claims_inherited_total", "Claims taken over after their lease, settled by reading Kafka back."),
		unknown:   counter("gateway_produce_unknown_total", "Records whose outcome was unknown at the produce deadline."),
		confirmed: counter("gateway_claims_confirmed_total", "Claims confirmed as delivered in the store."),
		spooled:   counter("gateway_spooled_total", "Events that were put into the spool."),
		dropped:   counter("gateway_confirmations_dropped_total", "Confirmations that the store was not told; the next attempt reads Kafka back."),
		unchecked: counter("gateway_unchecked_total", "Events produced without a claim, by DEDUP_ON_OUTAGE=accept."),
		memories:  counter("gateway_store_memories_total", "Memories of the store that were met: each but the first means that it may have lost claims."),
		restored:  counter("gateway_store_restored_total", "Claims that were restored from Kafka after the store lost its memory."),
		drained:   counter("gateway_spool_drained_total", "Events that were delivered from the spool."),
		lost:      counter("gateway_claims_lost_total", "Confirmations that found the claim in other hands."),
	}
}

// observeSpool shows what waits on disk: entries that stay are an alert.
func observeSpool(reg prometheus.Registerer, log *spool.Log) {
	gauge := func(name, help string, read func() float64) {
		reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, read))
	}
	gauge("gateway_spool_entries", "Events that wait in the spool.", func() float64 { return float64(log.Pending()) })
	gauge("gateway_spool_bytes", "Bytes that the spool takes on disk.", func() float64 { return float64(log.Bytes()) })
}
