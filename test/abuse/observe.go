package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

var adminClient = http.Client{Timeout: 5 * time.Second}

// observation is what the gateway says of itself.
type observation struct {
	connections, bodyBytes, spooled float64
	refused                         float64 // answers 4xx since the start
	failures                        float64 // answers 5xx since then
	internal                        float64 // of these, those for a fault of its own
}

func (g *gateway) observe() (o observation, err error) {
	answer, err := adminClient.Get("http://" + g.admin + "/metrics")
	if err != nil {
		return o, err
	}
	defer answer.Body.Close()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(answer.Body)
	if err != nil {
		return o, fmt.Errorf("read the metrics: %w", err)
	}
	sum := func(family string, counts func(label string) bool) (total float64) {
		for _, m := range families[family].GetMetric() {
			if len(m.GetLabel()) == 0 || counts(m.GetLabel()[0].GetValue()) {
				total += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
		return total
	}
	return observation{
		connections: sum("gateway_connections", nil),
		bodyBytes:   sum("gateway_body_bytes", nil),
		spooled:     sum("gateway_spool_entries", nil),
		refused:     sum("gateway_http_answers_total", func(code string) bool { return code[0] == '4' }),
		failures:    sum("gateway_http_answers_total", func(code string) bool { return code[0] == '5' }),
		internal:    sum("gateway_refusals_total", func(cause string) bool { return cause == "internal" }),
	}, nil
}

// peaks are the most that was seen in a time.
type peaks struct {
	connections, bodyBytes float64
	err                    error // the last look failed
}

// watchStep is short against what a flood does, and long against what a look costs.
const watchStep = 250 * time.Millisecond

// watch looks until the context ends.
func (g *gateway) watch(ctx context.Context) (p peaks) {
	for wait(ctx, watchStep) {
		var o observation
		if o, p.err = g.observe(); p.err == nil {
			p.connections = max(p.connections, o.connections)
			p.bodyBytes = max(p.bodyBytes, o.bodyBytes)
		}
	}
	return p
}

// resetPeak has the kernel forget the most memory that the process had so far
// (proc(5), clear_refs).
func resetPeak(pid int) error {
	return os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0)
}

var highWater = regexp.MustCompile(`VmHWM:\s+(\d+) kB`)

// peakMemory is the most resident memory since then, in bytes.
func peakMemory(pid int) (int64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	m := highWater.FindSubmatch(status)
	if m == nil {
		return 0, fmt.Errorf("process %d has no VmHWM", pid)
	}
	kib, err := strconv.ParseInt(string(m[1]), 10, 64)
	return kib << 10, err
}

var timeWait = regexp.MustCompile(`(?m)^TCP:.* tw (\d+)`)

// closedPeers is how many connections are in TIME-WAIT (RFC 9293, section 3.3.2); 0 where
// the system does not say.
func closedPeers() (n int) {
	stat, err := os.ReadFile("/proc/net/sockstat")
	if err != nil {
		return 0
	}
	if m := timeWait.FindSubmatch(stat); m != nil {
		n, _ = strconv.Atoi(string(m[1])) // digits
	}
	return n
}
