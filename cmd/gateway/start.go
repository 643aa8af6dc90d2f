package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"awareid-gateway/internal/config"
	"awareid-gateway/internal/dispatch"
	"awareid-gateway/internal/spool"
	"awareid-gateway/internal/store"
	"awareid-gateway/internal/verify"
)

// redisNamespace leads every key in Redis.
const redisNamespace = "awareid"

func openSpool(cfg config.Config, log *slog.Logger) (*spool.Log, error) {
	if cfg.SpoolDir == config.SpoolNone {
		return nil, nil
	}
	var opened *spool.Log
	err := withKeys("SPOOL_KEY", cfg.SpoolKey, func(keys [][]byte) (err error) {
		opened, err = spool.Open(cfg.SpoolDir, spool.Options{MaxBytes: cfg.SpoolMaxBytes, Keys: keys, Log: log})
		return err
	})
	return opened, err
}

// keys32 decodes keys of 32 bytes; there are none for an empty secret.
func keys32(name string, value config.Secret) ([][]byte, error) {
	var keys [][]byte
	for _, text := range value.Keys() {
		key, err := verify.FormBase64.Key(text.Reveal())
		if err != nil {
			return nil, usageError{fmt.Errorf("%s %w", name, err)}
		}
		keys = append(keys, key)
	}
	return keys, nil
}

// openStore connects to nothing yet.
func openStore(cfg config.Config) (claimStore, error) {
	if cfg.RedisURL != "" {
		redis, err := store.OpenRedis(cfg.RedisURL.Reveal(), redisNamespace)
		if err != nil {
			return nil, err
		}
		redis.For(cfg.KafkaTopicPrefix)
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
