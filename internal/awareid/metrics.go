package awareid

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/sony/gobreaker/v2"
)

// metrics carry labels that are ours alone: the platform chooses none.
type metrics struct {
	exchanges *prometheus.CounterVec
	retries   *prometheus.CounterVec
	seconds   *prometheus.HistogramVec
	circuit   prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		exchanges: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gateway_awareid_requests_total", Help: "Requests to AwareID's API, each try by itself, by outcome.",
		}, []string{"operation", "outcome"}),
		retries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gateway_awareid_retries_total", Help: "Requests to AwareID's API that were sent again.",
		}, []string{"operation"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "gateway_awareid_request_seconds", Help: "Time from a request to AwareID's API to the end of its answer.",
			Buckets: []float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 15},
		}, []string{"operation"}),
		circuit: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "gateway_awareid_circuit_open", Help: "1 while AwareID's API is left alone after repeated failures.",
		}),
	}
	if reg != nil {
		reg.MustRegister(m.exchanges, m.retries, m.seconds, m.circuit)
	}
	return m
}

func (m *metrics) exchanged(o operation, err error, took time.Duration) {
	m.exchanges.WithLabelValues(string(o), outcome(err)).Inc()
	m.seconds.WithLabelValues(string(o)).Observe(took.Seconds())
}

func (m *metrics) heldBack(o operation) {
	m.exchanges.WithLabelValues(string(o), "circuit_open").Inc()
}

func (m *metrics) repeated(o operation) { m.retries.WithLabelValues(string(o)).Inc() }

// circuitChanged is called by the circuit under its lock.
func (m *metrics) circuitChanged(_ string, _, to gobreaker.State) {
	open := 0.0
	if to == gobreaker.StateOpen {
		open = 1
	}
	m.circuit.Set(open)
}

// outcome is one of a few words for what came of an exchange.
func outcome(err error) string {
	if e, ok := errors.AsType[*unanswered](err); ok {
		if e.cancelled() {
			return "cancelled"
		}
		return "no_answer"
	}
	switch {
	case err == nil:
		return "ok"
	case errors.Is(err, ErrMalformed):
		return "malformed"
	case errors.Is(err, ErrUnauthorized):
		return "unauthorized"
	case errors.Is(err, ErrNotFound):
		return "not_found"
	case errors.Is(err, ErrThrottled):
		return "throttled"
	case errors.Is(err, ErrUnavailable):
		return "failed"
	}
	return "refused"
}
