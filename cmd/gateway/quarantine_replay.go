package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"awareid-gateway/internal/config"
	"awareid-gateway/internal/decrypt"
	"awareid-gateway/internal/dispatch"
	"awareid-gateway/internal/event"
	"awareid-gateway/internal/store"
)

type quarantineReplayCmd struct {
	Which []pick `arg:"" optional:"" help:"Records: PARTITION@OFFSET, or the first 16 or more digits of the digest."`
	All   bool   `help:"All records."`
	reasonFlag
	DryRun  bool          `help:"Open and parse, and dispatch nothing."`
	Timeout time.Duration `default:"2m" help:"Longest time for one event, with the reading back in Kafka for an old one."`
	JSON    bool          `name:"json" help:"Print a JSON line for each record."`
}

// Help says what may be replayed, and when it is done.
func (quarantineReplayCmd) Help() string {
	return "Reads the same variables as serve, checks the MAC of each record, opens it with the keys of today, and dispatches its event with origin replay. It can run beside the gateway, if that has REDIS_URL; with STORE_FILE the gateway has to be stopped. What is in Kafka already is a duplicate, so a replay may be repeated. Records stay in the quarantine topic. The exit code is 1 unless every record was accepted or a duplicate (with --dry-run: could be dispatched)."
}

// Validate wants to be told what to replay.
func (c *quarantineReplayCmd) Validate() error {
	switch {
	case c.All == (len(c.Which) > 0):
		return errors.New("name the records, or give --all")
	case c.Reason != "" && !c.All:
		return errors.New("--reason goes with --all")
	case c.Timeout <= 0:
		return errors.New("--timeout is more than 0")
	}
	return c.validate()
}

// What became of a record.
const (
	resultReady         = "ready" // it would be dispatched
	resultUndecryptable = "undecryptable"
	resultMalformed     = "malformed"
	resultFuture        = "future"
	resultForged        = "forged"
	resultRefused       = "refused"
	resultFailed        = "failed"
)

// results are all of them, in the order of the summary.
var results = []string{
	resultReady, string(dispatch.Accepted), string(dispatch.Duplicate), resultUndecryptable,
	resultMalformed, resultFuture, resultForged, resultRefused, resultFailed,
}

func resultOf(err error) string {
	switch {
	case errors.Is(err, dispatch.ErrForged):
		return resultForged
	case errors.Is(err, decrypt.ErrDecrypt):
		return resultUndecryptable
	case errors.Is(err, event.ErrMalformed):
		return resultMalformed
	case errors.Is(err, errFuture):
		return resultFuture
	}
	return resultFailed
}

var errReplay = errors.New("not every record could be replayed")

// Run replays.
func (c *quarantineReplayCmd) Run(ctx context.Context, io streams) (err error) {
	w, err := openWard(io)
	if err != nil {
		return err
	}
	defer w.close()
	r := &replay{ward: w, timeout: c.Timeout, json: c.JSON, streams: io, tally: map[string]int{}, told: time.Now()}
	if !c.DryRun {
		a, err := w.openDispatcher(ctx)
		defer func() { err = errors.Join(err, a.letGo(ctx)) }()
		if err != nil {
			return err
		}
		r.dispatcher = a.dispatcher
	}
	fmt.Fprintln(io.err, "reading", routes(w.cfg).Quarantine())
	readErr := c.read(ctx, r)
	r.summarize()
	if readErr != nil {
		return readErr
	}
	if r.unsettled() > 0 {
		return errReplay
	}
	return nil
}

func (c *quarantineReplayCmd) read(ctx context.Context, r *replay) error {
	one := func(s dispatch.Sealed) error { return r.one(ctx, s) }
	if !c.All {
		return r.readPicked(ctx, c.Which, one)
	}
	return r.ward.read(ctx, func(s dispatch.Sealed) error {
		if !c.takes(s) {
			return nil
		}
		return one(s)
	})
}

// openDispatcher opens what a dispatcher needs, without the spool, which is the
// running gateway's, and never to produce unchecked.
func (w *ward) openDispatcher(ctx context.Context) (a *app, err error) {
	cfg := w.cfg
	cfg.DedupOnOutage = config.OutageReject
	a = &app{cfg: cfg, log: w.log, kafka: w.kafka}
	if a.store, err = openClaims(cfg); err != nil {
		return a, err
	}
	if err = a.store.Ping(ctx); err != nil {
		return a, err
	}
	if err = a.tryKafka(ctx); err != nil {
		return a, err
	}
	if a.dispatcher, err = newDispatcher(a, prometheus.NewRegistry()); err != nil {
		return a, err
	}
	if err = a.dispatcher.AwaitMemory(ctx); err != nil {
		return a, fmt.Errorf("wait until the store remembers: %w", err)
	}
	return a, nil
}

// openClaims opens the gateway's own store: a new file would know nothing, and
// all would look new.
func openClaims(cfg config.Config) (claimStore, error) {
	if cfg.RedisURL == "" {
		if _, err := os.Stat(cfg.StoreFile); errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("STORE_FILE %s is not there: the claims of the gateway are needed", cfg.StoreFile)
		}
	}
	claims, err := openStore(cfg)
	if errors.Is(err, store.ErrLocked) {
		return nil, fmt.Errorf("%w: stop the gateway meanwhile, or give it REDIS_URL", err)
	}
	return claims, err
}

// letGo waits until the store knows what was delivered.
func (a *app) letGo(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.cfg.HTTPShutdownTimeout)
	defer cancel()
	return a.close(ctx)
}

// replay is one run.
type replay struct {
	*ward
	streams
	dispatcher *dispatch.Dispatcher // nil: a dry run
	timeout    time.Duration        // for one event
	json       bool
	tally      map[string]int
	told       time.Time // when progress was shown last
}

// outcome is what is printed of a record.
type outcome struct {
	Position string `json:"position"`
	Webhook  string `json:"webhook"`
	Digest   string `json:"digest"`
	Result   string `json:"result"`
	ID       string `json:"id,omitempty"`
	Detail   string `json:"detail,omitempty"`
}

// one replays a record. Its error ends the run.
func (r *replay) one(ctx context.Context, s dispatch.Sealed) error {
	o := outcome{Position: position(s), Webhook: printable(s.Webhook()), Digest: printable(s.Digest())}
	in, err := r.reopen(s)
	if err == nil {
		o.ID = in.Event.ID
		o.Result, err = r.dispatch(ctx, in)
	}
	if err != nil {
		o.Result, o.Detail = resultOf(err), err.Error()
	}
	r.tally[o.Result]++
	r.print(o)
	r.progress()
	return ctx.Err()
}

func (r *replay) dispatch(ctx context.Context, in dispatch.Inbound) (string, error) {
	if r.dispatcher == nil {
		return resultReady, nil
	}
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	result, err := r.dispatcher.Dispatch(ctx, in)
	if result == dispatch.Quarantined {
		return resultRefused, nil
	}
	return string(result), err
}

func (r *replay) print(o outcome) {
	if r.json {
		json.NewEncoder(r.out).Encode(o)
		return
	}
	fmt.Fprintf(r.out, "%-12s  %s  %-13s", o.Position, short(o.Digest), o.Result)
	for _, more := range []string{o.ID, o.Detail} {
		if more != "" {
			fmt.Fprintf(r.out, "  %s", more)
		}
	}
	fmt.Fprintln(r.out)
}

// progressEvery is how often a run that takes its time shows where it is.
const progressEvery = 5 * time.Second

func (r *replay) progress() {
	if time.Since(r.told) >= progressEvery {
		r.told = time.Now()
		fmt.Fprintf(r.err, "%d records so far\n", r.total())
	}
}

func (r *replay) total() int {
	n := 0
	for _, count := range r.tally {
		n += count
	}
	return n
}

// unsettled counts the records that have to be looked at again.
func (r *replay) unsettled() int {
	return r.total() - r.tally[resultReady] - r.tally[string(dispatch.Accepted)] - r.tally[string(dispatch.Duplicate)]
}

func (r *replay) summarize() {
	if r.json {
		json.NewEncoder(r.out).Encode(map[string]any{"records": r.total(), "results": r.tally})
		return
	}
	var parts []string
	for _, name := range results {
		if n := r.tally[name]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, name))
		}
	}
	io.WriteString(r.out, strings.Join(append([]string{fmt.Sprintf("%d records", r.total())}, parts...), ", ")+"\n")
}
