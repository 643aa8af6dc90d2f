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
	kafka      *dispatch.Kafka
	dispatcher *dispatch.Dispatcher
	public     *server.Server
	admin      *server.Admin
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
	if a.store, err = openStore(ctx, cfg); err != nil {
		return a, err
	}
	if a.kafka, err = openKafka(ctx, cfg, log); err != nil {
		return a, err
	}
	registry := telemetry.NewRegistry(version)
	if a.dispatcher, err = newDispatcher(cfg, a.store, a.kafka, log, registry); err != nil {
		return a, err
	}
	if a.public, err = newPublic(cfg, a.dispatcher, log, registry); err != nil {
		return a, err
	}
	a.admin = server.NewAdmin(server.AdminOptions{
		Token: cfg.AdminToken.Reveal(), Hosts: cfg.AdminHosts, Gatherer: registry, Log: log,
		Checks: []server.Check{
			{Name: "store", Ask: a.store.Ping},
			{Name: "kafka", Ask: func(context.Context) error { return a.kafka.Ready() }},
		},
	})
	return a, nil
}

// redisNamespace leads every key in Redis.
const redisNamespace = "awareid"

func openStore(ctx context.Context, cfg config.Config) (claimStore, error) {
	if cfg.RedisURL == "" {
		file, err := store.OpenFile(cfg.StoreFile, time.Now)
		if err != nil {
			return nil, err
		}
		return file, nil
	}
	redis, err := store.OpenRedis(cfg.RedisURL.Reveal(), redisNamespace)
	if err != nil {
		return nil, err
	}
	if err := redis.Ping(ctx); err != nil {
		redis.Close()
		return nil, err
	}
	return redis, nil
}

// startTimeout bounds the start's work at Kafka.
const startTimeout = 30 * time.Second

func openKafka(ctx context.Context, cfg config.Config, log *slog.Logger) (*dispatch.Kafka, error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	k, err := newKafka(cfg, log)
	if err != nil {
		return nil, err
	}
	if err := prepareKafka(ctx, cfg, k, log); err != nil {
		k.Close()
		return nil, err
	}
	return k, nil
}

func prepareKafka(ctx context.Context, cfg config.Config, k *dispatch.Kafka, log *slog.Logger) error {
	plan := dispatch.TopicPlan{Create: cfg.KafkaCreateTopics, Partitions: cfg.KafkaTopicPartitions, Replication: cfg.KafkaTopicReplication}
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
		return err
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

func newDispatcher(cfg config.Config, s dispatch.Store, k dispatch.Producer, log *slog.Logger, reg prometheus.Registerer) (*dispatch.Dispatcher, error) {
	sealer, err := newSealer(cfg)
	if err != nil {
		return nil, err
	}
	return dispatch.New(s, k, dispatch.Options{
		Routes: routes(cfg), Sealer: sealer, ProduceTimeout: cfg.KafkaProduceTimeout,
		Terms: event.Terms{
			Lease: cfg.DedupLease, TakeoverWait: cfg.KafkaProduceTimeout, Keep: cfg.DedupTTL + keepMargin,
		},
		Replica: cfg.ReplicaID, Log: log, Metrics: reg,
	}), nil
}

func newSealer(cfg config.Config) (*dispatch.Sealer, error) {
	var key []byte
	if cfg.QuarantineKey != "" {
		var err error
		if key, err = verify.FormBase64.Key(cfg.QuarantineKey.Reveal()); err != nil {
			return nil, usageError{fmt.Errorf("QUARANTINE_KEY: %w", err)}
		}
	}
	secrets := make(map[string][]byte, len(cfg.Webhooks))
	for _, w := range cfg.Webhooks {
		secrets[w.ID] = []byte(w.Secrets[0].Value.Reveal())
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
	if a.dispatcher != nil {
		errs = append(errs, a.dispatcher.Close(ctx))
	}
	if a.kafka != nil {
		a.kafka.Close()
	}
	if a.store != nil {
		errs = append(errs, a.store.Close())
	}
	return errors.Join(errs...)
}
