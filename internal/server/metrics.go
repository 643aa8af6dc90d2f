package server

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"awareid-gateway/internal/verify"
)

// metrics carry labels that the gateway chooses. What a sender chooses becomes
// one only after its signature held, and then it is bounded: a family of
// types, the scheme of its signature.
type metrics struct {
	answers     *prometheus.CounterVec
	refusals    *prometheus.CounterVec
	events      *prometheus.CounterVec
	quarantined *prometheus.CounterVec
	seconds     *prometheus.HistogramVec
	schemes     *prometheus.GaugeVec
	secrets     *prometheus.CounterVec
	held        *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer, connections, bodyBytes, atWork, held func() float64) *metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	m := &metrics{
		answers:     counter("gateway_http_answers_total", "Answers of the public listener by status.", "code"),
		refusals:    counter("gateway_refusals_total", "Requests and connections refused, by cause.", "cause"),
		events:      counter("gateway_events_total", "Authentic events by outcome.", "webhook", "family", "outcome"),
		quarantined: counter("gateway_quarantined_total", "Bodies kept in the quarantine topic, by reason.", "webhook", "reason"),
		secrets:     counter("gateway_secret_used_total", "Authentic requests by the place of their secret in the list, 0 for the first, and by its id, which stays when the list changes.", "webhook", "secret", "key"),
		held:        counter("gateway_held_total", "Requests whose signature failed while the webhook's secret was rotated: held and then accepted or refused, or refused at once because too many were held.", "webhook", "outcome"),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "gateway_request_seconds", Help: "Time from the end of the header to the answer.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}, []string{"outcome"}),
		schemes: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "gateway_signature_scheme", Help: "The way of signing that was seen last; pin it with SIGNATURE_HEADER and SECRET_FORM.",
		}, []string{"webhook", "header", "encoding", "hash", "form"}),
	}
	reg.MustRegister(m.answers, m.refusals, m.events, m.quarantined, m.secrets, m.held, m.seconds, m.schemes,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "gateway_connections", Help: "Open connections of the public listener."}, connections),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "gateway_body_bytes", Help: "Bytes of request bodies in memory."}, bodyBytes),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "gateway_requests", Help: "Requests at work: their body is there, their answer is not."}, atWork),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "gateway_held", Help: "Requests that wait for a new secret."}, held),
	)
	return m
}

// learnt shows the latest scheme of a webhook only.
func (m *metrics) learnt(webhook string, match verify.Match) {
	m.schemes.DeletePartialMatch(prometheus.Labels{"webhook": webhook})
	m.schemes.WithLabelValues(webhook, match.Header, match.Encoding, match.Hash, string(match.Form)).Set(1)
}

func (m *metrics) wasHeld(webhook string, outcome heldOutcome) {
	if outcome != notHeld {
		m.held.WithLabelValues(webhook, string(outcome)).Inc()
	}
}

func (m *metrics) took(outcome string, since time.Time) {
	m.seconds.WithLabelValues(outcome).Observe(time.Since(since).Seconds())
}
