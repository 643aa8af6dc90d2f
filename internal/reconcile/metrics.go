package reconcile

import (
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	"awareid-gateway/internal/awareid"
)

var (
	missingDesc = prometheus.NewDesc("gateway_reconcile_missing_enrollments", "Enrollments completed on the platform without an event in Kafka, by the last comparison.", nil, nil)
	unendedDesc = prometheus.NewDesc("gateway_reconcile_unended_operations", "Operations that began without an end in Kafka, by the last comparison, by what the platform says of them: ended means that an event is missing.", []string{"platform"}, nil)
	unknownDesc = prometheus.NewDesc("gateway_reconcile_unknown_events", "Events of completed enrollments that the platform does not know, by the last comparison.", nil, nil)
	partialDesc = prometheus.NewDesc("gateway_reconcile_partial", "1 if something could not be compared the last time.", nil, nil)
	lastRunDesc = prometheus.NewDesc("gateway_reconcile_last_run_timestamp_seconds", "When the last comparison ended, in Unix seconds.", nil, nil)
)

// collector shows the last report, on the replica that made it and until another
// one has made a later one. What was not compared has no figure: a zero would
// look like a good one.
type collector struct{ runner *Runner }

// Describe implements prometheus.Collector.
func (c collector) Describe(descs chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{missingDesc, unendedDesc, unknownDesc, partialDesc, lastRunDesc} {
		descs <- d
	}
}

// Collect implements prometheus.Collector.
func (c collector) Collect(metrics chan<- prometheus.Metric) {
	report, ok := c.runner.currentReport()
	if !ok {
		return
	}
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		metrics <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	partial := 0.0
	if report.Partial {
		partial = 1
	}
	gauge(partialDesc, partial)
	gauge(lastRunDesc, float64(report.Ended.UnixMilli())/1000)
	if slices.Contains(report.Compared, Enrollments) {
		gauge(missingDesc, float64(report.Missing.Count))
	}
	if slices.Contains(report.Compared, Operations) {
		u := report.Unended
		gauge(unendedDesc, float64(u.Ended), "ended")
		gauge(unendedDesc, float64(u.Pending), "pending")
		gauge(unendedDesc, float64(u.Count-u.Ended-u.Pending), string(StatusUnknown))
	}
	if slices.Contains(report.Compared, Events) {
		gauge(unknownDesc, float64(report.Unknown.Count))
	}
}

func (r *Runner) currentReport() (Report, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.last == nil || !r.current {
		return Report{}, false
	}
	return *r.last, true
}

var _ Platform = (*awareid.Client)(nil)
