package main

import (
	"context"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/segmentio/kafka-go/sasl"
	"github.com/segmentio/kafka-go/sasl/plain"
	"github.com/segmentio/kafka-go/sasl/scram"
	"golang.org/x/sync/errgroup"

	"awareid-gateway/internal/config"
	"awareid-gateway/internal/decrypt"
	"awareid-gateway/internal/dispatch"
	"awareid-gateway/internal/event"
	"awareid-gateway/internal/server"
	"awareid-gateway/internal/spool"
	"awareid-gateway/internal/store"
	"awareid-gateway/internal/telemetry"
	"awareid-gateway/internal/verify"
)

// claimStore is a store that is opened, asked and closed here.
type claimStore interface {
	dispatch.Store
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
	public     *server.Server
	admin      *server.Admin
	stopTrying func() // to start Kafka; nil: it has started
}

// keepMargin is what a claim is remembered for beyond the time in which its
// event counts as fresh, against clocks that disagree.
const keepMargin = 10 * time.Minute

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
	if a.public, err = newPublic(cfg, a.dispatcher, log, registry); err != nil {
		return a, err
	}
	a.admin = server.NewAdmin(server.AdminOptions{
		Token: cfg.AdminToken.Reveal(), Hosts: cfg.AdminHosts, Gatherer: registry, Log: log,
		Checks: a.checks(),
	})
	return a, nil
}

// redisNamespace leads every key in Redis.
const redisNamespace = "awareid"

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

func openSpool(cfg config.Config, log *slog.Logger) (*spool.Log, error) {
	if cfg.SpoolDir == config.SpoolNone {
		return nil, nil
	}
	key, err := key32("SPOOL_KEY", cfg.SpoolKey)
	if err != nil {
		return nil, err
	}
	return spool.Open(cfg.SpoolDir, spool.Options{MaxBytes: cfg.SpoolMaxBytes, Key: key, Log: log})
}

// key32 decodes a key of 32 bytes; there is none for an empty one.
func key32(name string, value config.Secret) ([]byte, error) {
	if value == "" {
		return nil, nil
	}
	key, err := verify.FormBase64.Key(value.Reveal())
	if err != nil {
		return nil, usageError{fmt.Errorf("%s %w", name, err)}
	}
	return key, nil
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

// openStore connects to nothing yet.
func openStore(cfg config.Config) (claimStore, error) {
	if cfg.RedisURL != "" {
		redis, err := store.OpenRedis(cfg.RedisURL.Reveal(), redisNamespace)
		if err != nil {
			return nil, err
		}
		return redis, nil
	}
	file, err := store.OpenFile(cfg.StoreFile, time.Now)
	if err != nil {
		return nil, err
	}
	return file, nil
}

// startTimeout bounds the start's work at Kafka, retryStart is how often it is
// tried again behind a start that went on without.
const (
	startTimeout = 30 * time.Second
	retryStart   = time.Second
)

// startKafka prepares the topics. Where that fails and there is a spool, it
// goes on trying in the background.
func (a *app) startKafka(ctx context.Context) error {
	err := a.tryKafka(ctx)
	var missing *dispatch.MissingTopicsError
	if err == nil || a.spool == nil || errors.As(err, new(fatalError)) || errors.As(err, &missing) {
		return err
	}
	a.unlessSpooled(err)
	trying, stop := context.WithCancel(context.WithoutCancel(ctx))
	tried := make(chan struct{})
	go func() {
		defer close(tried)
		for {
			select {
			case <-trying.Done():
				return
			case <-time.After(retryStart):
			}
			if err := a.tryKafka(trying); err == nil {
				a.log.Info("Kafka is there")
				return
			}
		}
	}()
	a.stopTrying = func() { stop(); <-tried }
	return nil
}

func (a *app) tryKafka(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	return prepareKafka(ctx, a.cfg, a.kafka, a.log)
}

// fatalError is what waiting does not mend.
type fatalError struct{ error }

func prepareKafka(ctx context.Context, cfg config.Config, k *dispatch.Kafka, log *slog.Logger) error {
	plan := dispatch.TopicPlan{
		Create: cfg.KafkaCreateTopics, BodyBytes: int(cfg.HTTPMaxBodyBytes),
		Partitions: cfg.KafkaTopicPartitions, Replication: cfg.KafkaTopicReplication,
	}
	if err := k.EnsureTopics(ctx, plan); err != nil {
		return err
	}
	findings, err := k.ReviewTopics(ctx, int(cfg.HTTPMaxBodyBytes))
	if err != nil {
		log.Warn("the topics' settings cannot be reviewed", "error", err)
	}
	var fatal []error
	for _, f := range findings {
		if f.Loses {
			fatal = append(fatal, errors.New(f.String()))
		} else {
			log.Warn("a topic's setting can lose events", "finding", f.String())
		}
	}
	if err := errors.Join(fatal...); err != nil {
		return fatalError{err}
	}
	return k.Start(ctx)
}

func newKafka(cfg config.Config, log *slog.Logger) (*dispatch.Kafka, error) {
	tlsConfig, err := kafkaTLS(cfg)
	if err != nil {
		return nil, err
	}
	mechanism, err := kafkaSASL(cfg)
	if err != nil {
		return nil, err
	}
	return dispatch.NewKafka(dispatch.KafkaOptions{
		Brokers: cfg.KafkaBrokers, ClientID: cfg.KafkaClientID, TLS: tlsConfig, SASL: mechanism,
		Topics: routes(cfg).Topics(), ProduceTimeout: cfg.KafkaProduceTimeout, Log: log,
	}), nil
}

func kafkaTLS(cfg config.Config) (*tls.Config, error) {
	if !cfg.KafkaTLS {
		return nil, nil
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if cfg.KafkaTLSCAFile != "" {
		pem, err := os.ReadFile(cfg.KafkaTLSCAFile)
		if err != nil {
			return nil, usageError{fmt.Errorf("KAFKA_TLS_CA_FILE: %w", err)}
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, usageError{fmt.Errorf("KAFKA_TLS_CA_FILE: %s holds no certificate in PEM", cfg.KafkaTLSCAFile)}
		}
	}
	if cfg.KafkaTLSCertFile != "" {
		pair, err := tls.LoadX509KeyPair(cfg.KafkaTLSCertFile, cfg.KafkaTLSKeyFile)
		if err != nil {
			return nil, usageError{fmt.Errorf("KAFKA_TLS_CERT_FILE: %w", err)}
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

func kafkaSASL(cfg config.Config) (sasl.Mechanism, error) {
	user, password := cfg.KafkaSASLUsername, cfg.KafkaSASLPassword.Reveal()
	switch cfg.KafkaSASLMechanism {
	case "plain":
		return plain.Mechanism{Username: user, Password: password}, nil
	case "scram-sha-256":
		return scram.Mechanism(scram.SHA256, user, password)
	case "scram-sha-512":
		return scram.Mechanism(scram.SHA512, user, password)
	}
	return nil, nil
}

func routes(cfg config.Config) dispatch.Routes {
	list := make([]dispatch.Route, len(cfg.KafkaRoutes))
	for i, r := range cfg.KafkaRoutes {
		list[i] = dispatch.Route(r)
	}
	return dispatch.NewRoutes(cfg.KafkaTopicPrefix, list)
}

func newDispatcher(a *app, reg prometheus.Registerer) (*dispatch.Dispatcher, error) {
	sealer, err := newSealer(a.cfg)
	if err != nil {
		return nil, err
	}
	queues, _ := a.store.(dispatch.Queues) // the file is for one replica and has none
	return dispatch.New(a.store, a.kafka, dispatch.Options{
		Routes: routes(a.cfg), Sealer: sealer, ProduceTimeout: a.cfg.KafkaProduceTimeout,
		Terms: event.Terms{
			Lease: a.cfg.DedupLease, TakeoverWait: a.cfg.KafkaProduceTimeout, Keep: a.cfg.DedupTTL + keepMargin,
		},
		Spool: a.spool, Queues: queues, OnOutage: onOutage(a.cfg),
		Replica: a.cfg.ReplicaID, Log: a.log, Metrics: reg,
	}), nil
}

func onOutage(cfg config.Config) dispatch.OnOutage {
	switch cfg.DedupOnOutage {
	case config.OutageAccept:
		return dispatch.AcceptOnOutage
	case config.OutageReject:
		return dispatch.RejectOnOutage
	}
	return dispatch.SpoolOnOutage
}

func newSealer(cfg config.Config) (*dispatch.Sealer, error) {
	key, err := key32("QUARANTINE_KEY", cfg.QuarantineKey)
	if err != nil {
		return nil, err
	}
	secrets := make(map[string][][]byte, len(cfg.Webhooks))
	for _, w := range cfg.Webhooks {
		for _, s := range w.Secrets {
			secrets[w.ID] = append(secrets[w.ID], []byte(s.Value.Reveal()))
		}
	}
	return dispatch.NewSealer(key, secrets)
}

func newPublic(cfg config.Config, d *dispatch.Dispatcher, log *slog.Logger, reg prometheus.Registerer) (*server.Server, error) {
	webhooks, err := newWebhooks(cfg)
	if err != nil {
		return nil, err
	}
	return server.New(server.Options{
		Webhooks: webhooks, Dispatcher: d, Log: log, Metrics: reg,
		Limits: server.Limits{
			MaxBodyBytes: int(cfg.HTTPMaxBodyBytes), BodyBudgetBytes: cfg.HTTPBodyBudgetBytes,
			ReadTimeout: cfg.HTTPReadTimeout, IdleTimeout: cfg.HTTPIdleTimeout, RequestTimeout: cfg.HTTPRequestTimeout,
			MaxConnections: cfg.HTTPMaxConnections, MaxConnectionsPerAddress: cfg.HTTPMaxConnectionsPerAddress,
			RequestsPerAddress: cfg.HTTPRatePerAddress, RequestsPerWebhook: cfg.HTTPQuotaPerWebhook,
			AllowedCIDRs: cfg.AllowedCIDRs, TrustedProxies: cfg.TrustedProxies, MaxAge: cfg.DedupTTL,
		},
	})
}

func newWebhooks(cfg config.Config) ([]server.Webhook, error) {
	var private *rsa.PrivateKey
	if pem := cfg.DecryptPrivateKey.Reveal(); pem != "" {
		var err error
		if private, err = decrypt.ParsePrivateKey([]byte(pem)); err != nil {
			return nil, usageError{fmt.Errorf("DECRYPT_PRIVATE_KEY: %w", err)}
		}
	}
	webhooks := make([]server.Webhook, len(cfg.Webhooks))
	for i, w := range cfg.Webhooks {
		secrets, values := make([]verify.Secret, len(w.Secrets)), make([]string, len(w.Secrets))
		for j, s := range w.Secrets {
			values[j] = s.Value.Reveal()
			secrets[j] = verify.Secret{Value: values[j], NotAfter: s.NotAfter}
		}
		opener, err := decrypt.New(decrypt.Options{Secrets: values, PrivateKey: private})
		if err != nil {
			return nil, err
		}
		webhooks[i] = server.Webhook{
			Name: w.Name, ID: w.ID, Secrets: secrets, Form: verify.Form(cfg.SecretForm),
			SignatureHeader: cfg.SignatureHeader, Covers: covers(cfg), Opener: opener,
			AuthHeaderKey: w.AuthHeaderKey, AuthHeaderValue: w.AuthHeaderValue.Reveal(),
		}
	}
	return webhooks, nil
}

func covers(cfg config.Config) server.Covers {
	switch {
	case !cfg.SignatureRequired:
		return server.CoversNothing
	case cfg.SignatureCovers == config.CoversPlaintext:
		return server.CoversPlaintext
	}
	return server.CoversBody
}

// listeners are the gateway's doors. probe may be nil.
type listeners struct{ public, admin, probe net.Listener }

func listen(cfg config.Config) (l listeners, err error) {
	defer func() {
		if err != nil {
			l.close()
		}
	}()
	if l.public, err = net.Listen("tcp", cfg.HTTPAddr); err != nil {
		return l, fmt.Errorf("HTTP_ADDR: %w", err)
	}
	if l.admin, err = net.Listen("tcp", cfg.AdminAddr); err != nil {
		return l, fmt.Errorf("ADMIN_ADDR: %w", err)
	}
	if cfg.ProbeAddr != "" {
		if l.probe, err = net.Listen("tcp", cfg.ProbeAddr); err != nil {
			return l, fmt.Errorf("PROBE_ADDR: %w", err)
		}
	}
	return l, nil
}

func (l listeners) close() {
	for _, one := range []net.Listener{l.public, l.admin, l.probe} {
		if one != nil {
			one.Close()
		}
	}
}

// serve answers until the context ends or a listener fails, then stops in the
// reverse order of the start.
func (a *app) serve(ctx context.Context, l listeners) error {
	group, failed := errgroup.WithContext(ctx)
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
