package main

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"awareid-gateway/internal/awareid"
	"awareid-gateway/internal/config"
	"awareid-gateway/internal/secrets"
	"awareid-gateway/internal/server"
	"awareid-gateway/internal/store"
)

// checkPlatform compares each registration with the configuration. What the
// platform does not tell cannot differ.
func checkPlatform(ctx context.Context, cfg config.Config, r *report) {
	if !cfg.Platform.Configured() {
		r.ok("platform", "AWAREID_BASE_URL is not set: the registrations are not compared with the configuration")
		return
	}
	client, err := newPlatform(cfg.Platform, cfg.BackfillBatch, nil)
	if err != nil {
		r.fail("platform", err)
		return
	}
	defer client.Close()
	for _, w := range cfg.Webhooks {
		hook, err := wholePlatform{client}.Webhook(ctx, w.ID)
		if err != nil {
			r.fail("platform", fmt.Errorf("webhook %s: %w", w.ID, err))
			continue
		}
		c := comparison{cfg: cfg, ours: w, theirs: hook, report: r}
		c.url()
		c.events()
		c.switches()
		c.authHeader()
		c.secret(ctx)
		if !c.differs {
			r.ok("platform", fmt.Sprintf("webhook %s is registered as it is configured", w.ID))
		}
	}
}

// comparison is of one webhook.
type comparison struct {
	cfg     config.Config
	ours    config.Webhook
	theirs  awareid.Webhook
	report  *report
	differs bool
}

func (c *comparison) fail(format string, args ...any) {
	c.differs = true
	c.report.fail("platform", fmt.Errorf("webhook %s: %s", c.ours.ID, fmt.Sprintf(format, args...)))
}

func (c *comparison) warn(format string, args ...any) {
	c.differs = true
	c.report.warn("platform", fmt.Sprintf("webhook %s: %s", c.ours.ID, fmt.Sprintf(format, args...)))
}

// url compares the ends of the paths: a proxy may take a prefix away.
func (c *comparison) url() {
	path := server.Path
	if c.ours.Name != "" {
		path += "/" + c.ours.Name
	}
	if c.theirs.URL == "" {
		return
	}
	if u, err := url.Parse(c.theirs.URL); err != nil || !strings.HasSuffix(u.Path, path) {
		c.fail("the platform posts to %s, and its path does not end with %s", told(c.theirs.URL), path)
	}
}

func (c *comparison) events() {
	if missing := missingEvents(c.theirs.Events); c.theirs.Events != nil && len(missing) > 0 {
		c.warn("the platform does not post %s", strings.Join(missing, ", "))
	}
}

func (c *comparison) switches() {
	off := func(b *bool) bool { return b != nil && !*b }
	switch {
	case off(c.theirs.AddSignatureHeader) && c.cfg.SignatureRequired:
		c.fail("the platform does not sign callbacks, and SIGNATURE_REQUIRED refuses them")
	case !off(c.theirs.AddSignatureHeader) && c.theirs.AddSignatureHeader != nil && !c.cfg.SignatureRequired:
		c.warn("the platform signs callbacks, although SIGNATURE_REQUIRED=false: nobody looks at the signature")
	}
	if !off(c.theirs.EncryptMessageBody) {
		return
	}
	if covers(c.cfg) != server.CoversBody {
		c.fail("the platform does not encrypt bodies, and only what an authenticated cipher opens is accepted")
	} else {
		c.warn("the platform does not encrypt bodies")
	}
}

func (c *comparison) authHeader() {
	ours, theirs := c.ours, c.theirs
	switch {
	case theirs.AuthHeaderKey == "" && theirs.AuthHeaderValue == "":
		if ours.AuthHeaderKey != "" && theirs.Events != nil { // an answer that tells events tells this too
			c.fail("the platform sends no auth header, and one is configured")
		}
	case ours.AuthHeaderKey == "":
		c.warn("the platform sends the auth header %s, and none is configured: nobody looks at it", told(theirs.AuthHeaderKey))
	case !strings.EqualFold(ours.AuthHeaderKey, theirs.AuthHeaderKey):
		c.fail("the platform sends the auth header %s, and another one is configured", told(theirs.AuthHeaderKey))
	case theirs.AuthHeaderValue != "" && !slices.Contains(ours.AuthHeaderValue.Lines(), config.Secret(theirs.AuthHeaderValue)):
		c.fail("the platform sends another value in the auth header than is configured")
	}
}

// secret wants the platform's to be the first that is configured.
func (c *comparison) secret(ctx context.Context) {
	if c.theirs.Secret == "" {
		c.warn("the platform does not tell its secret, so nothing says whether it is configured")
		return
	}
	theirs := config.WebhookSecret{Value: config.Secret(c.theirs.Secret)}
	for i, s := range c.ours.Secrets {
		switch {
		case !secrets.Same(s, theirs):
		case !s.NotAfter.IsZero() && !time.Now().Before(s.NotAfter):
			c.fail("the platform uses the secret at place %d of the configuration, which has ended", i+1)
			return
		case i > 0:
			c.warn("the platform uses the secret at place %d of the configuration: put it first", i+1)
			return
		default:
			return
		}
	}
	if c.toldInRedis(ctx, theirs) {
		c.warn("the platform uses a secret that only a rotation told: the running replicas have it; configure it, for Redis keeps it for a limited time")
		return
	}
	c.fail("the platform uses a secret that is not configured: every callback is refused; `gateway webhook rotate` tells it to the running replicas")
}

// toldInRedis is false where Redis does not answer, which another line says.
func (c *comparison) toldInRedis(ctx context.Context, secret config.WebhookSecret) bool {
	if c.cfg.RedisURL == "" {
		return false
	}
	redis, err := store.OpenRedis(c.cfg.RedisURL.Reveal(), redisNamespace)
	if err != nil {
		return false
	}
	defer redis.Close()
	notice, err := secrets.RedisBoard{Store: redis, Webhook: c.ours.ID}.Told(ctx, c.ours.Secrets)
	return err == nil && slices.ContainsFunc(notice.Secrets, func(s config.WebhookSecret) bool { return secrets.Same(s, secret) })
}
