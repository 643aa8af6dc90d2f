package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"awareid-gateway/internal/awareid"
)

type webhookUpdateCmd struct {
	ID           string   `arg:"" help:"Id of the webhook."`
	URL          string   `name:"url" help:"Where the platform posts."`
	Events       []string `sep:"," placeholder:"TYPE,…" help:"Types to hear of, in place of those of now."`
	Encrypted    *bool    `negatable:"" help:"Whether bodies are encrypted."`
	Signed       *bool    `negatable:"" help:"Whether callbacks are signed."`
	NoAuthHeader bool     `help:"Have callbacks carry no auth header."`
	authHeaderFlags
}

// Help says what stays.
func (webhookUpdateCmd) Help() string {
	return platformHelp + " What is not named stays as the platform tells it. For another secret, use rotate. A running gateway that checks an auth header must be configured for the new one at the same time."
}

// Run updates.
func (c *webhookUpdateCmd) Run(ctx context.Context, io streams) error {
	value, err := c.value()
	if err != nil {
		return err
	}
	header := c.AuthHeaderKey != "" || value != ""
	switch {
	case c.NoAuthHeader && header:
		return usageError{errors.New("--no-auth-header and another auth header: one of the two")}
	case c.URL == "" && c.Events == nil && c.Encrypted == nil && c.Signed == nil && !header && !c.NoAuthHeader:
		return usageError{errors.New("nothing to change is named")}
	}
	client, err := openPlatform(io)
	if err != nil {
		return err
	}
	defer client.Close()
	current, err := wholePlatform{client}.Webhook(ctx, c.ID)
	if err != nil {
		return err
	}
	issued, err := client.Update(ctx, c.ID, c.changes(current, header, value))
	if err != nil {
		return err
	}
	fmt.Fprintln(io.out, "webhook", printable(c.ID), "is updated")
	if issued.Secret != "" && current.Secret != "" && issued.Secret != current.Secret {
		return errors.New("the platform chose a new secret, which it was not asked for: run `gateway webhook rotate` at once, which tells that one to the gateway")
	}
	return nil
}

// changes leaves out nothing that the platform told: an update might reset it.
func (c *webhookUpdateCmd) changes(current awareid.Webhook, header bool, value awareid.Secret) awareid.Changes {
	changes := awareid.Changes{
		EncryptMessageBody: cmp.Or(c.Encrypted, current.EncryptMessageBody),
		AddSignatureHeader: cmp.Or(c.Signed, current.AddSignatureHeader),
		Events:             current.Events,
	}
	if target := cmp.Or(c.URL, current.URL); target != "" {
		changes.URL = &target
	}
	if c.Events != nil {
		changes.Events = c.Events
	}
	switch {
	case c.NoAuthHeader:
		changes.AuthHeaderKey, changes.AuthHeaderValue = new(string), new(awareid.Secret)
	case header:
		changes.AuthHeaderKey, changes.AuthHeaderValue = &c.AuthHeaderKey, &value
	case current.AuthHeaderKey != "" && current.AuthHeaderValue != "":
		changes.AuthHeaderKey, changes.AuthHeaderValue = &current.AuthHeaderKey, &current.AuthHeaderValue
	}
	return changes
}
