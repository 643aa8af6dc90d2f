package secrets

import "github.com/prometheus/client_golang/prometheus"

// Where secrets come from, as a label.
const (
	sourceFile   = "file"
	sourceRedis  = "redis"
	sourceNotice = "notice"
)

type watcherMetrics struct {
	changes  *prometheus.CounterVec
	rotating *prometheus.GaugeVec
	bad      *prometheus.GaugeVec
	wasBad   map[[2]string]bool
}

func newWatcherMetrics(reg prometheus.Registerer) *watcherMetrics {
	m := &watcherMetrics{
		changes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gateway_secrets_changed_total", Help: "Times that other secrets came into force.",
		}, []string{"webhook"}),
		rotating: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "gateway_secret_rotating", Help: "1 while a rotation of the webhook's secret is under way.",
		}, []string{"webhook"}),
		bad: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "gateway_secrets_unread", Help: "1 while a source of secrets cannot be used: a webhook's file, redis, the notice of a rotation in it; or the file of the variable that source names.",
		}, []string{"webhook", "source"}),
		wasBad: map[[2]string]bool{},
	}
	reg.MustRegister(m.changes, m.rotating, m.bad)
	return m
}

// unread notes whether a source can be read, and reports whether that is news.
func (m *watcherMetrics) unread(webhook, source string, bad bool) (news bool) {
	key := [2]string{webhook, source}
	news = m.wasBad[key] != bad
	m.wasBad[key] = bad
	m.bad.WithLabelValues(webhook, source).Set(number(bad))
	return news
}

func (m *watcherMetrics) setRotating(webhook string, rotating bool) {
	m.rotating.WithLabelValues(webhook).Set(number(rotating))
}

func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
