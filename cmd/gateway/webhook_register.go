package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"awareid-gateway/internal/awareid"
	"awareid-gateway/internal/config"
	"awareid-gateway/internal/secrets"
	"awareid-gateway/internal/server"
)

// authHeaderFlags are the header that every callback is to carry.
type authHeaderFlags struct {
	AuthHeaderKey       string `placeholder:"NAME" help:"Header that every callback is to carry."`
	AuthHeaderValue     string `placeholder:"VALUE" help:"Its value. Others on this machine can see it in the list of processes; a file keeps it from them."`
	AuthHeaderValueFile string `placeholder:"FILE" help:"File that holds its value, the first where it holds several, one a line."`
}

// value is the header's value, from wherever it is.
func (f authHeaderFlags) value() (awareid.Secret, error) {
	if f.AuthHeaderValueFile == "" {
		return awareid.Secret(f.AuthHeaderValue), nil
	}
	if f.AuthHeaderValue != "" {
		return "", usageError{errors.New("--auth-header-value and --auth-header-value-file: one of the two")}
	}
	content, err := os.ReadFile(f.AuthHeaderValueFile)
	if err != nil {
		return "", usageError{fmt.Errorf("--auth-header-value-file: %w", err)}
	}
	return awareid.Secret(strings.TrimRight(firstLine(config.Secret(content)), "\r")), nil
}

type webhookRegisterCmd struct {
	URL         string   `name:"url" required:"" help:"Where the platform posts, such as https://events.example.com/webhooks/awareid."`
	Events      []string `sep:"," placeholder:"TYPE,…" help:"Types to hear of; all of the reference by default."`
	Unencrypted bool     `help:"Have bodies come in plaintext."`
	Unsigned    bool     `help:"Have callbacks come without a signature; the gateway then wants SIGNATURE_REQUIRED=false, an auth header and encryption."`
	SecretsFile string   `placeholder:"FILE" help:"Write the secret into this new file, which the gateway watches, in place of printing it."`
	JSON        bool     `name:"json" help:"Print JSON."`
	authHeaderFlags
}

// Help says what is printed.
func (webhookRegisterCmd) Help() string {
	return platformHelp + " The variables that the gateway needs are printed to standard output, the secret among them: there is no other place where it is shown."
}

// Run registers.
func (c *webhookRegisterCmd) Run(ctx context.Context, io streams) (err error) {
	value, err := c.value()
	if err != nil {
		return err
	}
	client, err := openPlatform(io)
	if err != nil {
		return err
	}
	defer client.Close()
	c.warn(io)
	release, err := reserve(c.SecretsFile)
	if err != nil {
		return err
	}
	defer func() { release(err) }()
	before, err := client.Webhooks(ctx)
	if err != nil {
		return fmt.Errorf("nothing is registered: %w", err)
	}
	issued, err := client.Register(ctx, awareid.Registration{
		URL: c.URL, AuthHeaderKey: c.AuthHeaderKey, AuthHeaderValue: value,
		Unencrypted: c.Unencrypted, Unsigned: c.Unsigned, Events: c.Events,
	})
	if errors.Is(err, awareid.ErrOutcomeUnknown) {
		return errors.Join(err, adviseAfterRegister(ctx, client, before))
	}
	if err != nil {
		return err
	}
	return c.hand(ctx, io, issued, value)
}

// warn says what is registered as it is asked for, and will hardly work.
func (c *webhookRegisterCmd) warn(io streams) {
	if u, err := url.Parse(c.URL); err == nil && u.Path != server.Path && !strings.HasPrefix(u.Path, server.Path+"/") && !strings.HasSuffix(u.Path, server.Path) {
		fmt.Fprintf(io.err, "gateway: the path is none of the gateway's (%s, with /NAME behind it for one of several): something in between must change it\n", server.Path)
	}
}

// reserve makes a new file, so that nothing is registered that cannot be written.
// The result removes it again where err says that it was of no use.
func reserve(path string) (release func(err error), err error) {
	if path == "" {
		return func(error) {}, nil
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, usageError{fmt.Errorf("--secrets-file wants a new file: %w", err)}
	}
	file.Close()
	return func(err error) {
		if info, statErr := os.Stat(path); err != nil && statErr == nil && info.Size() == 0 {
			_ = os.Remove(path)
		}
	}, nil
}

// hand gives the operator what the platform issued, on standard output where the
// file would not take it: it is shown this once.
func (c *webhookRegisterCmd) hand(ctx context.Context, io streams, issued awareid.Issued, authValue awareid.Secret) error {
	hook := config.Webhook{ID: issued.WebhookID, Secrets: []config.WebhookSecret{{Value: config.Secret(issued.Secret)}}}
	vars := variables{{hook.Variable(0, "ID"), hook.ID}}
	var failed error
	if c.SecretsFile != "" {
		failed = secrets.FileBoard{Path: c.SecretsFile}.Tell(ctx, secrets.Notice{Secrets: hook.Secrets}, nil)
	}
	vars = append(vars, secretsVariable(hook, 0, hook.Secrets, c.SecretsFile, failed))
	if c.AuthHeaderKey != "" {
		vars = append(vars, variable{hook.Variable(0, "AUTH_HEADER_KEY"), c.AuthHeaderKey})
		if c.AuthHeaderValueFile != "" {
			vars = append(vars, variable{hook.Variable(0, "AUTH_HEADER_VALUE") + "_FILE", absolute(c.AuthHeaderValueFile)})
		} else {
			vars = append(vars, variable{hook.Variable(0, "AUTH_HEADER_VALUE"), authValue.Reveal()})
		}
	}
	if c.Unsigned {
		vars = append(vars, variable{"SIGNATURE_REQUIRED", "false"})
	}
	return errors.Join(vars.print(io.out, c.JSON, hook.ID, nil), failed)
}

// secretsVariable names the file that holds the secrets, or shows them.
func secretsVariable(hook config.Webhook, n int, all []config.WebhookSecret, file string, failed error) variable {
	name := hook.Variable(n, "SECRETS")
	if file != "" && failed == nil {
		return variable{name + "_FILE", absolute(file)}
	}
	return variable{name, config.FormatSecrets(all).Reveal()}
}

func absolute(path string) string {
	if full, err := filepath.Abs(path); err == nil {
		return full
	}
	return path
}

// adviseAfterRegister says what may have become of a registration whose answer was
// lost.
func adviseAfterRegister(ctx context.Context, client *awareid.Client, before []awareid.Webhook) error {
	after, err := client.Webhooks(context.WithoutCancel(ctx))
	if err != nil {
		return errors.New("the webhook may be registered: look with `gateway webhook list`, and at the one that is new with `gateway webhook get ID --show-secret`, before you register again")
	}
	var added []string
	for _, h := range after {
		if !slices.ContainsFunc(before, func(b awareid.Webhook) bool { return b.ID == h.ID }) {
			added = append(added, printable(h.ID))
		}
	}
	if len(added) == 0 {
		return errors.New("no new webhook is listed, so it is hardly registered; the platform may still come to it: look with `gateway webhook list` before you register again")
	}
	return fmt.Errorf("new since then: %s. If that is yours, `gateway webhook get ID --show-secret` shows its secret; if it shows none, remove it with `gateway webhook delete ID --yes` and register again", strings.Join(added, ", "))
}
