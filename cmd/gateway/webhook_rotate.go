package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"awareid-gateway/internal/awareid"
	"awareid-gateway/internal/config"
	"awareid-gateway/internal/secrets"
	"awareid-gateway/internal/store"
)

type webhookRotateCmd struct {
	Name        string        `arg:"" optional:"" help:"Name or id of the webhook; needed where several are configured."`
	KeepOld     time.Duration `default:"24h" help:"How long the secret of before is still accepted."`
	PublishFor  time.Duration `default:"720h" help:"How long Redis keeps the new secret, sealed, for replicas that start with the configuration of before."`
	SecretsFile string        `placeholder:"FILE" help:"Write the secrets into this file, which the gateway watches; by default the one that the configuration names."`
	Print       bool          `help:"Print the variables, and write no file."`
	JSON        bool          `name:"json" help:"Print JSON."`
}

// Help says how it works, and what it is not for.
func (webhookRotateCmd) Help() string {
	return "Reads the same variables as serve. Marks the webhook as rotating in Redis, or beside the secrets file: meanwhile every replica holds callbacks that it cannot verify for up to 3 seconds. Then the platform chooses a new secret, and the replicas are told through Redis, sealed under the secrets of now. The new secrets are written into the secrets file, or printed as variables to set: do that within --publish-for. It is safe to run it again after it failed. If a secret has leaked, together with access to Redis, the new one is not safe there: register a webhook anew instead."
}

// Validate refuses times that make no sense.
func (c *webhookRotateCmd) Validate() error {
	switch {
	case c.KeepOld < 0:
		return errors.New("--keep-old is not negative")
	case c.PublishFor < time.Minute:
		return errors.New("--publish-for is at least 1m")
	case c.Print && c.SecretsFile != "":
		return errors.New("--print and --secrets-file: one of the two")
	}
	return nil
}

// rotation is what a run works on.
type rotation struct {
	hook   config.Webhook
	number int
	file   string // "": none is written
	redis  *store.Redis
	client *awareid.Client
}

// rotatedPlatform tells the auth header of a webhook from the configuration too: the
// platform need not tell its value, and an update that leaves it out might reset it.
type rotatedPlatform struct {
	wholePlatform
	configured config.Webhook
}

// Webhook is as that of the client. A header of another name stays as it was told.
func (p rotatedPlatform) Webhook(ctx context.Context, id string) (awareid.Webhook, error) {
	hook, err := p.wholePlatform.Webhook(ctx, id)
	key := cmp.Or(hook.AuthHeaderKey, p.configured.AuthHeaderKey)
	if err == nil && hook.AuthHeaderValue == "" && strings.EqualFold(key, p.configured.AuthHeaderKey) {
		hook.AuthHeaderKey, hook.AuthHeaderValue = key, awareid.Secret(firstLine(p.configured.AuthHeaderValue))
	}
	return hook, err
}

func (r rotation) close() {
	if r.client != nil {
		r.client.Close()
	}
	if r.redis != nil {
		_ = r.redis.Close() // nothing waits in it
	}
}

// Run rotates.
func (c *webhookRotateCmd) Run(ctx context.Context, io streams) error {
	cfg, _, err := config.Load(io.environ) // its warnings are for serve and check
	if err != nil {
		return usageError{err}
	}
	r, err := c.open(cfg)
	defer r.close()
	if err != nil {
		return err
	}
	rotator, err := c.rotator(ctx, r, cfg.SecretForm, io)
	if err != nil {
		return fmt.Errorf("nothing has changed: %w", err)
	}
	done, err := rotator.Rotate(ctx)
	if done.Secrets == nil {
		return errors.Join(err, adviseAfterRotate(err))
	}
	return errors.Join(err, c.hand(io, r, done, err))
}

func (c *webhookRotateCmd) open(cfg config.Config) (r rotation, err error) {
	if !cfg.Platform.Configured() {
		return r, usageError{errors.New("AWAREID_BASE_URL: required to rotate, and not set")}
	}
	if r.number, err = pickWebhook(cfg.Webhooks, c.Name); err != nil {
		return r, usageError{err}
	}
	r.hook = cfg.Webhooks[r.number]
	if r.file = c.SecretsFile; r.file == "" && !c.Print {
		r.file = r.hook.SecretsFile
	}
	if cfg.RedisURL == "" && (r.file == "" || !sameFile(r.file, r.hook.SecretsFile)) {
		return r, usageError{fmt.Errorf("without REDIS_URL the running gateway can be told only through the file that it watches: start it with %s_FILE, and rotate with the same configuration, without --print or another --secrets-file. As it is, callbacks would be refused until its restart", r.hook.Variable(r.number, "SECRETS"))}
	}
	if cfg.RedisURL != "" {
		if r.redis, err = store.OpenRedis(cfg.RedisURL.Reveal(), redisNamespace); err != nil {
			return r, err
		}
	}
	r.client, err = newPlatform(cfg.Platform, 0, nil)
	return r, err
}

// sameFile says whether two paths, either of which may be missing, are one file.
func sameFile(a, b string) bool { return a != "" && b != "" && resolved(a) == resolved(b) }

// resolved is the path without links, as far as there is anything yet.
func resolved(path string) string {
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	return absolute(path)
}

// pickWebhook finds the one that is meant by its name or id.
func pickWebhook(all []config.Webhook, name string) (int, error) {
	if name == "" && len(all) == 1 {
		return 0, nil
	}
	var names []string
	for i, w := range all {
		if name != "" && (w.Name == name || w.ID == name) {
			return i, nil
		}
		names = append(names, w.Name)
	}
	return 0, fmt.Errorf("which webhook? Configured are: %s", strings.TrimSpace(strings.Join(names, " ")))
}

func (c *webhookRotateCmd) rotator(ctx context.Context, r rotation, form string, io streams) (*secrets.Rotator, error) {
	rotator := &secrets.Rotator{
		Platform: rotatedPlatform{wholePlatform{r.client}, r.hook}, Webhook: r.hook.ID, Form: form, Known: r.hook.Secrets, KeepOld: c.KeepOld,
		Progress: func(step string) { fmt.Fprintln(io.err, "gateway:", step) },
	}
	if r.redis != nil {
		board := secrets.RedisBoard{Store: r.redis, Webhook: r.hook.ID, Keep: c.PublishFor}
		notice, err := board.Told(ctx, r.hook.Secrets)
		switch {
		case errors.Is(err, secrets.ErrSealed):
			fmt.Fprintln(io.err, "gateway: what an earlier rotation told cannot be read with the configured secrets, and is replaced")
		case err != nil:
			return nil, err
		}
		rotator.Known, rotator.Told = secrets.InForce(r.hook.Secrets, notice.Secrets, time.Now()), notice.At
		rotator.Boards = append(rotator.Boards, board)
	}
	if r.file != "" {
		rotator.Boards = append(rotator.Boards, secrets.FileBoard{Path: r.file, Form: form})
	}
	return rotator, nil
}

// hand gives the operator what to set. Where somebody was not told, the secrets are
// printed: they are to be had nowhere else.
func (c *webhookRotateCmd) hand(io streams, r rotation, done secrets.Rotated, failed error) error {
	vars := variables{secretsVariable(r.hook, r.number, done.Secrets, r.file, failed)}
	more := map[string]any{"resumed": done.Resumed}
	if r.redis != nil {
		more["publishedUntil"] = time.Now().Add(c.PublishFor).UTC().Format(time.RFC3339)
	}
	if err := vars.print(io.out, c.JSON, r.hook.ID, more); err != nil {
		return err
	}
	if done.Resumed {
		fmt.Fprintln(io.err, "gateway: the secret that the platform uses was not known everywhere; it is now. No new one was asked for: for that, run it again")
	}
	switch {
	case failed != nil:
		return errors.New("replicas that were not told refuse callbacks: run it again, which tells the same secret, or set the variable above and restart them")
	case r.file == "":
		fmt.Fprintf(io.err, "gateway: the running replicas know the secret. Set the variable for all of them before %s: one that starts later than that without it knows the old secrets alone\n",
			more["publishedUntil"])
	case !sameFile(r.file, r.hook.SecretsFile):
		fmt.Fprintln(io.err, "gateway: the configuration does not name this file: set the variable wherever it is to be read")
	}
	return nil
}

// adviseAfterRotate says what to do about a rotation that told nobody anything.
func adviseAfterRotate(err error) error {
	switch {
	case errors.Is(err, awareid.ErrOutcomeUnknown):
		return errors.New("the platform may use a new secret already: run it again at once. It first looks which secret is in use, and tells that one. If `gateway webhook get ID` shows that the platform does not tell secrets, callbacks may be refused from now on; then register a webhook anew")
	case errors.Is(err, secrets.ErrUnusable):
		return errors.New("the platform signs with a secret that nobody was told, and callbacks are refused. If the platform's form of secrets is another one than SECRET_FORM, correct that here and for serve, and run this again, which tells the same secret; else register a webhook anew")
	case errors.Is(err, secrets.ErrBusy):
		return fmt.Errorf("wait until it has ended; if nobody is at it, what is left of it ends by itself within %v", secrets.MarkTTL)
	}
	return errors.New("nothing is known to have changed; it is safe to run it again")
}
