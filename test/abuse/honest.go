package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"awareid-gateway/internal/server"
	"awareid-gateway/internal/simulator"
)

const (
	// honestSize is an event's, in bytes, before it is encrypted.
	honestSize = 1400
	// platformAddr is who the load balancer says that honest events come from.
	platformAddr = "198.51.100.7"
	// honestTimeout is when the platform gives up, and does not try again.
	honestTimeout = 5 * time.Second
)

// honest posts events at a steady rate, whatever becomes of them, as a platform
// does behind a load balancer that keeps its connections.
type honest struct {
	url       string
	scheme    simulator.Scheme
	client    *http.Client
	rate      int
	generator *simulator.Generator

	mu       sync.Mutex
	accepted map[string]digest
}

func newHonest(g *gateway, rate int) (*honest, error) {
	generator, err := simulator.NewGenerator(simulator.GeneratorOptions{Seed: uint64(time.Now().UnixNano()), Size: honestSize})
	if err != nil {
		return nil, err
	}
	from := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(loadBalancer)}, Timeout: honestTimeout}
	return &honest{
		url: scheme(g.certificate) + g.public + server.Path, scheme: simulator.Scheme{Secret: g.secret}, rate: rate, generator: generator,
		// Shorter than the gateway's idle time-out: a balancer must be the one who ends.
		client:   &http.Client{Timeout: honestTimeout, Transport: &http.Transport{DialContext: from.DialContext, MaxIdleConnsPerHost: 256, IdleConnTimeout: 30 * time.Second, TLSClientConfig: trusting(g.certificate)}},
		accepted: map[string]digest{},
	}, nil
}

// delivery is what came of an event.
type delivery struct {
	status int
	word   string        // the status in the answer, or what went wrong
	took   time.Duration // since it was due
}

// taken says that it must be in Kafka.
func (d delivery) taken() bool {
	return d.status == http.StatusOK && d.word == "accepted" || d.status == http.StatusAccepted && d.word == "spooled"
}

// run sends for a time, and returns what came of it when all is answered. The
// latency of an event counts from when it was due: one that waits for another
// waits for the gateway.
func (h *honest) run(ctx context.Context, length time.Duration) (phase, error) {
	var all sync.WaitGroup
	period := time.Second / time.Duration(h.rate)
	deliveries := make([]delivery, length/period)
	began := time.Now()
	for i := range deliveries {
		due := began.Add(time.Duration(i) * period)
		if !wait(ctx, time.Until(due)) {
			return phase{}, ctx.Err()
		}
		e, err := h.generator.Next()
		if err != nil {
			return phase{}, err
		}
		all.Go(func() {
			d := h.post(e)
			d.took = time.Since(due)
			deliveries[i] = d
		})
	}
	all.Wait()
	return newPhase(deliveries), nil
}

func (h *honest) post(e simulator.Event) delivery {
	d, err := h.exchange(e)
	if err != nil {
		return delivery{status: none, word: err.Error()}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if d.taken() {
		h.accepted[e.ID] = digestOf(e.Body)
	}
	return d
}

func (h *honest) exchange(e simulator.Event) (delivery, error) {
	body, header, err := h.scheme.Seal(e.Body)
	if err != nil {
		return delivery{}, err
	}
	request, err := http.NewRequest(http.MethodPost, h.url, bytes.NewReader(body))
	if err != nil {
		return delivery{}, err
	}
	request.Header = header
	request.Header.Set("X-Forwarded-For", platformAddr)
	request.GetBody = nil // the transport must not send it again by itself
	response, err := h.client.Do(request)
	if err != nil {
		return delivery{}, err
	}
	defer response.Body.Close()
	raw, err := io.ReadAll(response.Body)
	if err != nil {
		return delivery{}, err
	}
	var s said
	if json.Unmarshal(raw, &s) != nil {
		s.Status = string(raw)
	}
	return delivery{status: response.StatusCode, word: s.Status}, nil
}

// phase is what came of honest events in a time.
type phase struct {
	Sent    int           `json:"sent"`
	Answers classes       `json:"answers"`
	Lost    int           `json:"lost"` // without a 2xx
	Why     []string      `json:"why,omitempty"`
	P50     time.Duration `json:"p50"`
	P99     time.Duration `json:"p99"`
}

// shownLosses bounds what is told of lost events.
const shownLosses = 3

func newPhase(deliveries []delivery) phase {
	p := phase{Sent: len(deliveries)}
	times := make([]time.Duration, 0, len(deliveries))
	for _, d := range deliveries {
		p.Answers.add(d.status, 1)
		times = append(times, d.took)
		if !d.taken() {
			if p.Lost++; len(p.Why) < shownLosses {
				p.Why = append(p.Why, fmt.Sprintf("%s: %.200s", statusText(d.status), d.word))
			}
		}
	}
	slices.Sort(times)
	p.P50, p.P99 = quantile(times, 0.50), quantile(times, 0.99)
	return p
}

// quantile is the least of the sorted times that so large a share of them does not
// exceed.
func quantile(sorted []time.Duration, share float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	i := int(share*float64(len(sorted))+0.999999) - 1
	return sorted[min(max(i, 0), len(sorted)-1)]
}
