package main

import (
	"context"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"awareid-gateway/internal/awareid"
	"awareid-gateway/internal/backfill"
	"awareid-gateway/internal/decrypt"
	"awareid-gateway/internal/server"
)

// filling fetches what did not come: by itself, and by jobs.
type filling struct {
	platform   *awareid.Client
	backfiller *backfill.Backfiller
	jobs       *backfill.Jobs
	itself     bool // it fetches without being told

	end  context.CancelFunc
	done sync.WaitGroup
}

// newFilling connects to nothing yet. It returns nil where no platform is
// configured. The store and the dispatcher are those of the app.
func newFilling(a *app, reg prometheus.Registerer) (*filling, error) {
	if !a.cfg.Platform.Configured() {
		return nil, nil
	}
	f := &filling{itself: a.cfg.BackfillEnabled}
	var err error
	if f.platform, err = newPlatform(a.cfg.Platform, a.cfg.BackfillBatch, reg); err != nil {
		return nil, err
	}
	webhooks, err := newWebhooks(a.cfg)
	if err != nil {
		return nil, err
	}
	openers := map[string]*decrypt.Opener{}
	for _, w := range webhooks {
		openers[w.ID] = w.Opener
	}
	leader, _ := a.store.(backfill.Leader) // the file is for one replica
	opts := backfill.Options{
		Platform: f.platform, Dispatcher: a.dispatcher, Numbers: a.store, Leader: leader,
		Grace: a.cfg.BackfillGrace, Interval: a.cfg.BackfillInterval, Batch: a.cfg.BackfillBatch,
		Attempts: a.cfg.BackfillAttempts, MaxAhead: server.MaxAhead, Log: a.log, Metrics: reg,
	}
	for _, w := range a.cfg.Webhooks {
		opts.Webhooks = append(opts.Webhooks, backfill.Webhook{Name: w.Name, ID: w.ID, Opener: openers[w.ID]})
	}
	f.backfiller = backfill.New(opts)
	f.jobs = backfill.NewJobs(f.backfiller)
	return f, nil
}

// start lets it fetch by itself, if it is to.
func (f *filling) start() {
	if f == nil || !f.itself {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	f.end = cancel
	f.done.Go(func() { f.backfiller.Run(ctx) })
}

// stop returns when nothing is fetched and dispatched any more.
func (f *filling) stop() {
	if f == nil {
		return
	}
	if f.end != nil {
		f.end()
	}
	f.jobs.Close()
	f.done.Wait()
	f.platform.Close()
}
