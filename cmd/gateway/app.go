package main

import (
	"context"
	"errors"
	"log/slog"
	"net/http"

	"golang.org/x/sync/errgroup"

	"awareid-gateway/internal/backfill"
	"awareid-gateway/internal/config"
	"awareid-gateway/internal/dispatch"
	"awareid-gateway/internal/privacy"
	"awareid-gateway/internal/server"
	"awareid-gateway/internal/spool"
	"awareid-gateway/internal/telemetry"
)

// claimStore is a store that is opened, asked and closed here.
type claimStore interface {
	dispatch.Store
	dispatch.Numbers
	backfill.Numbers
	Ping(ctx context.Context) error
	Close() error
}

// app is the gateway with everything that it talks to.
type app struct {
	cfg        config.Config
	log        *slog.Logger
	store      claimStore
	spool      *spool.Log // nil: there is none
	kafka      *dispatch.Kafka
	dispatcher *dispatch.Dispatcher
	sealer     *dispatch.Sealer
	privacy    *privacy.Rules // nil: nothing is redacted
	filling    *filling       // nil: there is no platform to fetch from
	reconciler *reconciler    // nil: nothing is compared by itself
	public     *server.Server
	admin      *server.Admin
	proofs     proofs // what the listeners have TLS with
	stopTrying func() // to start Kafka; nil: it has started

	stopWatching func() // secrets; nil: not begun
}

// open connects to the store and to Kafka and puts the gateway together. What
// it opened it closes again where it fails.
func open(ctx context.Context, cfg config.Config, log *slog.Logger) (a *app, err error) {
	a = &app{cfg: cfg, log: log}
	defer func() {
		if err != nil {
			a.close(ctx)
		}
	}()
	if a.spool, err = openSpool(cfg, log); err != nil {
		return a, err
	}
	if a.store, err = openStore(cfg); err != nil {
		return a, err
	}
	if err = a.unlessSpooled(a.store.Ping(ctx)); err != nil {
		return a, err
	}
	if a.kafka, err = newKafka(cfg, log); err != nil {
		return a, err
	}
	if err = a.startKafka(ctx); err != nil {
		return a, err
	}
	registry := telemetry.NewRegistry(version)
	if a.dispatcher, err = newDispatcher(a, registry); err != nil {
		return a, err
	}
	if a.proofs, err = openProofs(cfg, log, registry); err != nil {
		return a, err
	}
	if a.public, err = newPublic(cfg, a.proofs.public, a.dispatcher, log, registry); err != nil {
		return a, err
	}
	if a.filling, err = newFilling(a, registry); err != nil {
		return a, err
	}
	if a.reconciler, err = newReconciler(a, registry); err != nil {
		return a, err
	}
	a.admin = server.NewAdmin(server.AdminOptions{
		Token: cfg.AdminToken.Reveal(), Hosts: cfg.AdminHosts, Gatherer: registry, Log: log,
		Checks: a.checks(), API: a.api(), TLS: a.proofs.admin,
	})
	a.stopWatching = watchSecrets(ctx, a, registry)
	return a, nil
}

// checks are the dependencies by name. With a spool events can be accepted
// while the others are away.
func (a *app) checks() []server.Check {
	checks := []server.Check{
		{Name: "store", Ask: a.store.Ping, Optional: a.spool != nil},
		{Name: "kafka", Ask: func(context.Context) error { return a.kafka.Ready() }, Optional: a.spool != nil},
	}
	if a.spool != nil {
		checks = append(checks, server.Check{Name: "spool", Ask: func(context.Context) error { return a.spool.Ready() }})
	}
	return checks
}

// api is what operators can do, by path.
func (a *app) api() map[string]http.Handler {
	handlers := map[string]http.Handler{}
	if a.filling != nil {
		handlers[backfill.APIPath] = a.filling.jobs.Handler()
	}
	if a.reconciler != nil {
		handlers[reconcilePath] = a.reconciler.handler()
	}
	return handlers
}

// unlessSpooled lets the start go on without a dependency, if events can be
// spooled until it is there.
func (a *app) unlessSpooled(err error) error {
	if err == nil || a.spool == nil {
		return err
	}
	a.log.Warn("starting without a dependency: events are spooled until it is there", "error", err)
	return nil
}

// serve answers until the context ends or a listener fails, then stops in the
// reverse order of the start.
func (a *app) serve(ctx context.Context, l listeners) error {
	group, failed := errgroup.WithContext(ctx)
	a.filling.start()
	a.reconciler.start()
	group.Go(func() error { return a.public.Serve(l.public) })
	group.Go(func() error { return a.admin.Serve(l.admin) })
	a.log.Info("listening", "listener", "public", "address", l.public.Addr().String())
	a.log.Info("listening", "listener", "admin", "address", l.admin.Addr().String())
	if l.probe != nil {
		group.Go(func() error { return a.admin.ServeProbes(l.probe) })
		a.log.Info("listening", "listener", "probe", "address", l.probe.Addr().String())
	}
	<-failed.Done()
	a.log.Info("stopping: finishing what is in flight")
	stopped := a.stop()
	if err := group.Wait(); err != nil {
		return err
	}
	return stopped
}

func (a *app) stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), a.cfg.HTTPShutdownTimeout)
	defer cancel()
	a.admin.Stopping()
	err := errors.Join(a.public.Shutdown(ctx), a.close(ctx), a.admin.Shutdown(ctx))
	if err == nil {
		a.log.Info("stopped")
	}
	return err
}

// close waits for what Kafka has not answered yet, and lets go of store and
// Kafka.
func (a *app) close(ctx context.Context) error {
	var errs []error
	if a.stopTrying != nil {
		a.stopTrying()
	}
	if a.stopWatching != nil {
		a.stopWatching()
	}
	a.reconciler.stop()
	a.filling.stop()
	if a.dispatcher != nil {
		errs = append(errs, a.dispatcher.Close(ctx))
	}
	if a.kafka != nil {
		a.kafka.Close()
	}
	if a.store != nil {
		errs = append(errs, a.store.Close())
	}
	if a.spool != nil {
		if left := a.spool.Pending(); left > 0 {
			a.log.Warn("the spool is not empty: keep its folder for the next start", "entries", left, "folder", a.cfg.SpoolDir)
		}
		errs = append(errs, a.spool.Close())
	}
	return errors.Join(errs...)
}
