package awareid_test

import (
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/awareid"
	"awareid-gateway/internal/simulator"
)

func TestOptions(t *testing.T) {
	good := awareid.Options{BaseURL: "https://awareid.example.com", Customer: "acme", ClientID: "id", ClientSecret: "hush-hush", APIKey: "hush-hush"}
	for name, tt := range map[string]struct {
		change func(*awareid.Options)
		says   string
	}{
		"as it should be":   {func(*awareid.Options) {}, ""},
		"a port and a path": {func(o *awareid.Options) { o.BaseURL = "https://awareid.example.com:8443/eu/" }, ""},
		"loopback":          {func(o *awareid.Options) { o.BaseURL = "http://127.0.0.1:8090" }, ""},
		"loopback IPv6":     {func(o *awareid.Options) { o.BaseURL = "http://[::1]:8090" }, ""},
		"localhost":         {func(o *awareid.Options) { o.BaseURL = "http://localhost:8090" }, ""},
		"no URL":            {func(o *awareid.Options) { o.BaseURL = "" }, "base URL"},
		"no scheme":         {func(o *awareid.Options) { o.BaseURL = "awareid.example.com" }, "base URL"},
		"plain http":        {func(o *awareid.Options) { o.BaseURL = "http://awareid.example.com" }, "https"},
		"nearly loopback":   {func(o *awareid.Options) { o.BaseURL = "http://127.0.0.1.example.com" }, "https"},
		"another scheme":    {func(o *awareid.Options) { o.BaseURL = "ftp://127.0.0.1" }, "https"},
		"a password":        {func(o *awareid.Options) { o.BaseURL = "https://u:hush-hush@awareid.example.com" }, "base URL"},
		"a query":           {func(o *awareid.Options) { o.BaseURL = "https://awareid.example.com?k=hush-hush" }, "base URL"},
		"a bad URL":         {func(o *awareid.Options) { o.BaseURL = "https://hush-hush:%zz" }, "base URL"},
		"no customer":       {func(o *awareid.Options) { o.Customer = "" }, "customer"},
		"no client":         {func(o *awareid.Options) { o.ClientID = "" }, "client id"},
		"no secret":         {func(o *awareid.Options) { o.ClientSecret = "" }, "client secret"},
		"a secret's line":   {func(o *awareid.Options) { o.ClientSecret = "hush-hush\n" }, "client secret"},
		"no key":            {func(o *awareid.Options) { o.APIKey = "" }, "API key"},
		"a key's line":      {func(o *awareid.Options) { o.APIKey = "hush-hush\r\nx: y" }, "API key"},
		"a relative path":   {func(o *awareid.Options) { o.EventDataPath = "webhook/event" }, "event data path"},
		"a path's query":    {func(o *awareid.Options) { o.EventDataPath = "/webhook/event?x" }, "event data path"},
		"negative":          {func(o *awareid.Options) { o.Attempts = -1 }, "negative"},
	} {
		t.Run(name, func(t *testing.T) {
			options := good
			tt.change(&options)
			_, err := awareid.New(options)
			if tt.says == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, tt.says)
			require.NotContains(t, err.Error(), "hush")
		})
	}
}

// A platform that fails all the time in all its ways is got over: nothing is
// missing and nothing comes twice.
func TestAPlatformOfManyFaults(t *testing.T) {
	var met int
	inWorld(t, func(o *awareid.Options, _ *simulator.PlatformOptions) { o.Attempts, o.BatchSize = 12, 5 }, func(t *testing.T, w *world) {
		const events, callers = 1000, 8
		hook := w.hook()
		w.record(hook, events, simulator.GeneratorOptions{})
		faults, err := simulator.NewFaults(w.platform, simulator.FaultOptions{Share: 0.3, Seed: 1})
		require.NoError(t, err)
		w.faults = faults

		var mu sync.Mutex
		got := map[string]int{}
		var all sync.WaitGroup
		for _, some := range slices.Collect(slices.Chunk(numbers(events), events/callers)) {
			all.Go(func() {
				for batch, err := range w.client.EventData(t.Context(), hook.ID, some) {
					if err != nil || len(batch.Bodies) != len(batch.Numbers) {
						t.Errorf("batch from %s: %d of %d events, %v", batch.Numbers[0], len(batch.Bodies), len(batch.Numbers), err)
					}
					mu.Lock()
					for _, number := range batch.Numbers {
						got[number]++
					}
					mu.Unlock()
				}
			})
		}
		all.Wait()
		require.Len(t, got, events)
		for n := range events {
			require.Equal(t, 1, got[strconv.Itoa(n+1)])
		}
		met = faults.Met()
	})
	require.Greater(t, met, 50)
}

// Labels are ours, whatever the platform answers.
func TestMetricsAreBounded(t *testing.T) {
	inWorld(t, oneAttempt, func(t *testing.T, w *world) {
		for status := 201; status < 600; status += 7 {
			w.faults.On(registrations, simulator.Refuse(status, ""))
			_, err := w.client.Webhook(t.Context(), fmt.Sprint("id-", status))
			require.Error(t, err)
		}
		families, err := w.metrics.Gather()
		require.NoError(t, err)
		outcomes := map[string]bool{}
		for _, family := range families {
			for _, metric := range family.GetMetric() {
				for _, label := range metric.GetLabel() {
					if label.GetName() == "outcome" {
						outcomes[label.GetValue()] = true
					}
				}
			}
		}
		for outcome := range outcomes {
			require.Contains(t, []string{"ok", "malformed", "unauthorized", "not_found", "throttled", "failed", "refused", "no_answer", "cancelled", "circuit_open"}, outcome)
		}
		require.Greater(t, len(outcomes), 3)
	})
	_, err := awareid.New(awareid.Options{BaseURL: "https://x", Customer: "c", ClientID: "i", ClientSecret: "s", APIKey: "k", Metrics: prometheus.NewRegistry()})
	require.NoError(t, err)
}
