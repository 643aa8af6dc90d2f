package main

import (
	"context"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"awareid-gateway/internal/config"
	"awareid-gateway/internal/dispatch"
	"awareid-gateway/internal/secrets"
	"awareid-gateway/internal/server"
	"awareid-gateway/internal/verify"
)

// watchSecrets looks for other secrets and certificates than those of the start, once before it
// returns, and then until it is stopped.
func watchSecrets(ctx context.Context, a *app, reg prometheus.Registerer) (stop func()) {
	options := secrets.Options{
		Webhooks: a.cfg.Webhooks, Form: a.cfg.SecretForm, Target: secretsInForce{a.public, a.sealer, a.filling},
		Files: watchedFiles(a), Log: a.log, Metrics: reg,
	}
	if reader, ok := a.store.(secrets.Reader); ok { // the embedded file has one replica
		options.Reader = reader
	}
	watcher := secrets.NewWatcher(options)
	watcher.Look(ctx)
	watching, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var done sync.WaitGroup
	done.Go(func() { watcher.Run(watching) })
	return func() { cancel(); done.Wait() }
}

// secretsInForce is all that works with the secrets of a webhook.
type secretsInForce struct {
	public  *server.Server
	sealer  *dispatch.Sealer
	filling *filling // may be nil
}

// SetSecrets replaces them, first where records are sealed: where that fails, callbacks
// come in under the same secrets as before.
func (f secretsInForce) SetSecrets(webhookID string, all []config.WebhookSecret) error {
	if err := f.sealer.SetSecrets(webhookID, secretBytes(all)); err != nil {
		return err
	}
	if err := f.public.SetSecrets(webhookID, verifySecrets(all)); err != nil {
		return err
	}
	if f.filling != nil {
		f.filling.backfiller.SetSecrets(webhookID, secretValues(all))
	}
	return nil
}

// SetRotating passes it on to where requests are held.
func (f secretsInForce) SetRotating(webhookID string, rotating bool) {
	f.public.SetRotating(webhookID, rotating)
}

func verifySecrets(all []config.WebhookSecret) []verify.Secret {
	list := make([]verify.Secret, len(all))
	for i, s := range all {
		list[i] = verify.Secret{Value: s.Value.Reveal(), NotAfter: s.NotAfter}
	}
	return list
}

func secretBytes(all []config.WebhookSecret) [][]byte {
	list := make([][]byte, len(all))
	for i, s := range all {
		list[i] = []byte(s.Value.Reveal())
	}
	return list
}

func secretValues(all []config.WebhookSecret) []string {
	list := make([]string, len(all))
	for i, s := range all {
		list[i] = s.Value.Reveal()
	}
	return list
}
