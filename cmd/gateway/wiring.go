package main

import (
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/segmentio/kafka-go/sasl"
	"github.com/segmentio/kafka-go/sasl/plain"
	"github.com/segmentio/kafka-go/sasl/scram"

	"awareid-gateway/internal/config"
	"awareid-gateway/internal/decrypt"
	"awareid-gateway/internal/dispatch"
	"awareid-gateway/internal/event"
	"awareid-gateway/internal/server"
	"awareid-gateway/internal/verify"
)

// keepMargin is what a claim is remembered for beyond the time in which its
// event counts as fresh, against clocks that disagree.
const keepMargin = 10 * time.Minute

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
	var err error
	if a.sealer, err = newSealer(a.cfg); err != nil {
		return nil, err
	}
	if a.privacy, err = newPrivacy(a.cfg); err != nil {
		return nil, err
	}
	// The file is for one replica, and forgets nothing.
	queues, _ := a.store.(dispatch.Queues)
	memory, _ := a.store.(dispatch.Memory)
	roster, _ := a.store.(dispatch.Roster)
	if a.spool == nil {
		roster = nil // without a spool there is nothing to wait for
	}
	var numbers dispatch.Numbers // whose events nobody could fetch, without a platform
	if a.cfg.Platform.Configured() {
		numbers = a.store
	}
	return dispatch.New(a.store, a.kafka, dispatch.Options{
		Routes: routes(a.cfg), Sealer: a.sealer, Privacy: a.privacy, ProduceTimeout: a.cfg.KafkaProduceTimeout,
		Terms: event.Terms{
			Lease: a.cfg.DedupLease, TakeoverWait: a.cfg.KafkaProduceTimeout, Keep: a.cfg.DedupTTL + keepMargin,
		},
		Spool: a.spool, Numbers: numbers, Queues: queues, Roster: roster, Memory: memory, History: a.kafka, OnOutage: onOutage(a.cfg),
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
	secrets := make(map[string][][]byte, len(cfg.Webhooks))
	for _, w := range cfg.Webhooks {
		secrets[w.ID] = secretBytes(w.Secrets)
	}
	var sealer *dispatch.Sealer
	err := withKeys("QUARANTINE_KEY", cfg.QuarantineKey, func(keys [][]byte) (err error) {
		sealer, err = dispatch.NewSealer(keys, secrets)
		return err
	})
	return sealer, err
}

func newPublic(cfg config.Config, proof *server.TLS, d *dispatch.Dispatcher, log *slog.Logger, reg prometheus.Registerer) (*server.Server, error) {
	webhooks, err := newWebhooks(cfg)
	if err != nil {
		return nil, err
	}
	return server.New(server.Options{
		Webhooks: webhooks, TLS: proof, Dispatcher: d, Log: log, Metrics: reg,
		Audit: server.Audit{LinesPerSecond: cfg.AuditLinesPerSecond, Address: server.AuditAddress(cfg.AuditAddress)},
		Limits: server.Limits{
			MaxBodyBytes: int(cfg.HTTPMaxBodyBytes), BodyBudgetBytes: cfg.HTTPBodyBudgetBytes,
			MaxHeaderBytes: cfg.HTTPMaxHeaderBytes, MaxHeaders: cfg.HTTPMaxHeaders, MaxRequests: cfg.HTTPMaxRequests,
			ReadTimeout: cfg.HTTPReadTimeout, IdleTimeout: cfg.HTTPIdleTimeout, RequestTimeout: cfg.HTTPRequestTimeout,
			MaxConnections: cfg.HTTPMaxConnections, MaxConnectionsPerAddress: cfg.HTTPMaxConnectionsPerAddress,
			RequestsPerAddress: cfg.HTTPRatePerAddress, RequestsPerWebhook: cfg.HTTPQuotaPerWebhook,
			AllowedCIDRs: cfg.AllowedCIDRs, TrustedProxies: cfg.TrustedProxies, MaxAge: cfg.DedupTTL,
			AcceptGzip: cfg.HTTPAcceptGzip,
		},
	})
}

func newWebhooks(cfg config.Config) ([]server.Webhook, error) {
	var private []*rsa.PrivateKey
	if pem := cfg.DecryptPrivateKey.Reveal(); pem != "" {
		var err error
		if private, err = decrypt.ParsePrivateKeys([]byte(pem)); err != nil {
			return nil, usageError{fmt.Errorf("DECRYPT_PRIVATE_KEY: %w", err)}
		}
	}
	webhooks := make([]server.Webhook, len(cfg.Webhooks))
	for i, w := range cfg.Webhooks {
		secrets, values := verifySecrets(w.Secrets), make([]string, len(w.Secrets))
		for j, s := range secrets {
			values[j] = s.Value
		}
		opener, err := decrypt.New(decrypt.Options{Secrets: values, PrivateKeys: private})
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
