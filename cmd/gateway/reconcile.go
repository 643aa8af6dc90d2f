package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"awareid-gateway/internal/config"
	"awareid-gateway/internal/dispatch"
	"awareid-gateway/internal/reconcile"
)

type reconcileCmd struct {
	Window    *time.Duration `placeholder:"24h" help:"How far back to compare; 0s compares all that the platform lists with all that Kafka holds. Without it RECONCILE_WINDOW counts."`
	Webhook   string         `placeholder:"NAME" help:"Only events of this webhook count, by name or id."`
	JoinField string         `placeholder:"FIELD" help:"Member that an enrollment and its event have in common. Without it RECONCILE_JOIN_FIELD counts."`
	OpenAfter time.Duration  `default:"30m" help:"Tell of operations without an end that began this long ago."`
	Settle    time.Duration  `default:"10s" help:"Where something is missing, wait this long for events that are on their way."`
	Timeout   time.Duration  `default:"1h" help:"Longest time for all of it."`
	JSON      bool           `name:"json" help:"Print the report as JSON."`
}

// Help says what is compared, and what the exit code tells.
func (reconcileCmd) Help() string {
	return "Reads the same variables as serve, reads the events' topics and asks the platform, and changes nothing. It lists enrollments that are completed on the platform and have no event, operations that began and have no end (of B2C ones the platform is asked), and events of enrollments that the platform does not know. What has no event has no number that could be fetched: see backfill for missing numbers.\n\nThe report names registration codes and operation tokens: treat it as personal data. The exit code is 0 if nothing is missing; 1 if an enrollment's event is, or the end of an operation that has ended by the platform's word, or if something could not be compared; 2 if the configuration is wrong. Operations that may still be under way, and unknown events, do not change it."
}

// Validate refuses what makes no sense.
func (c *reconcileCmd) Validate() error {
	switch {
	case c.Window != nil && *c.Window < 0, c.OpenAfter < 0, c.Settle < 0:
		return errors.New("--window, --open-after and --settle are not negative")
	case c.Timeout <= 0:
		return errors.New("--timeout is more than 0")
	}
	return nil
}

var (
	errMissing    = errors.New("events are missing")
	errIncomplete = errors.New("not everything could be compared")
)

// Run compares once.
func (c *reconcileCmd) Run(ctx context.Context, io streams) error {
	cfg, _, err := config.Load(io.environ) // its warnings are for serve and check
	if err != nil {
		return usageError{err}
	}
	if !cfg.Platform.Configured() {
		return usageError{errors.New("AWAREID_BASE_URL: required and not set (AwareID's API)")}
	}
	options, err := c.options(cfg)
	if err != nil {
		return err
	}
	rules, err := newPrivacy(cfg)
	if err != nil {
		return err
	}
	for _, cannot := range concealJoin(&options, rules) {
		fmt.Fprintln(io.err, cannot)
	}
	platform, err := newPlatform(cfg.Platform, cfg.BackfillBatch, nil)
	if err != nil {
		return err
	}
	defer platform.Close()
	topics, err := newEventTopics(cfg)
	if err != nil {
		return err
	}
	defer topics.Close()
	options.Platform, options.Records = platform, topics
	report := reconcile.New(options).Once(ctx)
	if err := c.print(io, report); err != nil {
		return err
	}
	return verdict(report)
}

func (c *reconcileCmd) options(cfg config.Config) (reconcile.Options, error) {
	o := reconcile.Options{
		JoinField: cfg.ReconcileJoinField, Window: cfg.ReconcileWindow,
		OpenAfter: c.OpenAfter, Settle: c.Settle, Timeout: c.Timeout, Log: slog.New(slog.DiscardHandler),
	}
	if c.JoinField != "" {
		o.JoinField = c.JoinField
	}
	if c.Window != nil {
		o.Window = *c.Window
	}
	if c.Webhook == "" {
		return o, nil
	}
	for _, w := range cfg.Webhooks {
		if c.Webhook == w.Name || c.Webhook == w.ID {
			o.Webhook = w.ID
			return o, nil
		}
	}
	return o, usageError{fmt.Errorf("--webhook: none of the configuration is named %q", c.Webhook)}
}

func (c *reconcileCmd) print(io streams, report reconcile.Report) error {
	if !c.JSON {
		return printReport(io.out, report)
	}
	out := json.NewEncoder(io.out)
	out.SetIndent("", "  ")
	return out.Encode(report)
}

// verdict is what the exit code says.
func verdict(report reconcile.Report) error {
	switch {
	case report.Misses() && report.Partial:
		return fmt.Errorf("%w, and %w", errMissing, errIncomplete)
	case report.Misses():
		return errMissing
	case report.Partial:
		return errIncomplete
	}
	return nil
}

// newEventTopics reads what subscribers read. It connects to nothing yet.
func newEventTopics(cfg config.Config) (*reconcile.Topics, error) {
	tlsConfig, err := kafkaTLS(cfg)
	if err != nil {
		return nil, err
	}
	mechanism, err := kafkaSASL(cfg)
	if err != nil {
		return nil, err
	}
	return reconcile.NewTopics(reconcile.TopicsOptions{
		Brokers: cfg.KafkaBrokers, ClientID: cfg.KafkaClientID, TLS: tlsConfig, SASL: mechanism,
		Topics: eventTopics(routes(cfg)), Timeout: cfg.KafkaProduceTimeout,
	}), nil
}

// eventTopics are all but the quarantine.
func eventTopics(r dispatch.Routes) (topics []string) {
	for _, topic := range r.Topics() {
		if topic != r.Quarantine() {
			topics = append(topics, topic)
		}
	}
	return topics
}

// reconciler compares on a schedule, beside the callbacks.
type reconciler struct {
	*reconcile.Runner
	topics *reconcile.Topics
	end    context.CancelFunc
	ended  chan struct{}
}

// newReconciler returns one that has not begun, nil where RECONCILE_INTERVAL is 0.
// The platform's client is the filling's.
func newReconciler(a *app, reg prometheus.Registerer) (*reconciler, error) {
	if a.cfg.ReconcileInterval == 0 {
		return nil, nil
	}
	topics, err := newEventTopics(a.cfg)
	if err != nil {
		return nil, err
	}
	leaders, _ := a.store.(reconcile.Leaders) // the file is for one replica
	options := reconcile.Options{
		Platform: a.filling.platform, Records: topics, Leaders: leaders, Log: a.log, Metrics: reg,
		JoinField: a.cfg.ReconcileJoinField, Window: a.cfg.ReconcileWindow, Interval: a.cfg.ReconcileInterval,
		OpenAfter: reconcile.DefaultOpenAfter, Settle: a.cfg.BackfillGrace + 2*a.cfg.BackfillInterval,
	}
	for _, cannot := range concealJoin(&options, a.privacy) {
		a.log.Warn(cannot)
	}
	return &reconciler{topics: topics, Runner: reconcile.New(options)}, nil
}

// start begins, if there is anything to do.
func (r *reconciler) start() {
	if r == nil {
		return
	}
	ctx, end := context.WithCancel(context.Background())
	r.end, r.ended = end, make(chan struct{})
	go func() {
		defer close(r.ended)
		r.Run(ctx)
	}()
}

// stop ends a run that is under way. It need not have been started.
func (r *reconciler) stop() {
	if r == nil {
		return
	}
	if r.end != nil {
		r.end()
		<-r.ended
	}
	r.topics.Close()
}

// reconcilePath is where the admin listener tells the last report.
const reconcilePath = "/api/reconcile"

// handler answers with the last report of this replica, 404 while there is none.
func (r *reconciler) handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		report, there := r.Last()
		switch {
		case req.Method != http.MethodGet:
			w.Header().Set("Allow", http.MethodGet)
			http.Error(w, "only GET", http.StatusMethodNotAllowed)
		case !there:
			http.Error(w, "this replica has compared nothing yet: see the metric gateway_reconcile_last_run_timestamp_seconds of the others", http.StatusNotFound)
		default:
			w.Header().Set("Content-Type", "application/json")
			_ = json.NewEncoder(w).Encode(report) // a client that has gone needs none
		}
	})
}
