package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"awareid-gateway/internal/awareid"
	"awareid-gateway/internal/config"
	"awareid-gateway/internal/event"
)

type webhookCmd struct {
	List     webhookListCmd     `cmd:"" help:"A line for each registration."`
	Get      webhookGetCmd      `cmd:"" help:"One registration."`
	Register webhookRegisterCmd `cmd:"" help:"Register a webhook, and print the variables to set."`
	Update   webhookUpdateCmd   `cmd:"" help:"Change a registration; its secret stays."`
	Rotate   webhookRotateCmd   `cmd:"" help:"Have the platform choose a new secret, without the loss of an event."`
	Delete   webhookDeleteCmd   `cmd:"" help:"Remove a registration."`
}

// platformHelp says what a command that only talks to the platform needs.
const platformHelp = "Reads AWAREID_BASE_URL, AWAREID_CUSTOMER, AWAREID_CLIENT_ID, AWAREID_CLIENT_SECRET, AWAREID_API_KEY and AWAREID_CA_FILE."

// openPlatform is for commands that work before a webhook is configured.
func openPlatform(io streams) (*awareid.Client, error) {
	platform, _, err := config.LoadPlatform(io.environ) // its warnings are for serve and check
	if err != nil {
		return nil, usageError{err}
	}
	return newPlatform(platform, 0, nil)
}

// wholePlatform tells the URL of a webhook from the list too: the reference's sample
// of the one webhook has none, and an update that leaves it out might reset it.
type wholePlatform struct{ *awareid.Client }

// Webhook is as that of the client.
func (p wholePlatform) Webhook(ctx context.Context, id string) (awareid.Webhook, error) {
	hook, err := p.Client.Webhook(ctx, id)
	if err != nil || hook.URL != "" {
		return hook, err
	}
	all, err := p.Webhooks(ctx)
	for _, h := range all {
		if h.ID == id {
			hook.URL = h.URL
		}
	}
	return hook, err
}

type webhookListCmd struct {
	JSON bool `name:"json" help:"Print a JSON line for each registration."`
}

// Help says what is read.
func (webhookListCmd) Help() string {
	return platformHelp + " No secret is printed. What the platform's list leaves out is shown as -; ask for it with get."
}

// Run lists.
func (c *webhookListCmd) Run(ctx context.Context, io streams) error {
	client, err := openPlatform(io)
	if err != nil {
		return err
	}
	defer client.Close()
	hooks, err := client.Webhooks(ctx)
	if err != nil {
		return err
	}
	if !c.JSON {
		fmt.Fprintf(io.out, registrationFormat, "WEBHOOK", "ENCRYPTED", "SIGNED", "EVENTS", "URL")
	}
	for _, h := range hooks {
		if c.JSON {
			err = errors.Join(err, json.NewEncoder(io.out).Encode(describe(h, false))) // #nosec G117 -- without its secret
			continue
		}
		describe(h, false).printLine(io.out)
	}
	return err
}

type webhookGetCmd struct {
	ID         string `arg:"" help:"Id of the webhook."`
	ShowSecret bool   `help:"Print the secret too."`
	JSON       bool   `name:"json" help:"Print JSON."`
}

// Help says what is kept back.
func (webhookGetCmd) Help() string {
	return platformHelp + " Without --show-secret only whether the platform tells the secret is printed."
}

// Run shows.
func (c *webhookGetCmd) Run(ctx context.Context, io streams) error {
	client, err := openPlatform(io)
	if err != nil {
		return err
	}
	defer client.Close()
	hook, err := wholePlatform{client}.Webhook(ctx, c.ID)
	if err != nil {
		return err
	}
	shown := describe(hook, c.ShowSecret)
	if c.JSON {
		return json.NewEncoder(io.out).Encode(shown) // #nosec G117 -- with its secret only where --show-secret asks for it
	}
	shown.print(io.out)
	return nil
}

type webhookDeleteCmd struct {
	ID  string `arg:"" help:"Id of the webhook."`
	Yes bool   `help:"Do it: the platform posts nothing for this webhook any more."`
}

// Help says what is lost.
func (webhookDeleteCmd) Help() string {
	return platformHelp + " The secret is gone with the registration."
}

// Run deletes.
func (c *webhookDeleteCmd) Run(ctx context.Context, io streams) error {
	if !c.Yes {
		return usageError{errors.New("without --yes nothing is deleted: the platform would post no event of this webhook any more")}
	}
	client, err := openPlatform(io)
	if err != nil {
		return err
	}
	defer client.Close()
	if err := client.Delete(ctx, c.ID); err != nil {
		return err
	}
	fmt.Fprintln(io.out, "webhook", printable(c.ID), "is deleted")
	return nil
}

// registration is a webhook as it is printed. What the platform did not tell is
// left out.
type registration struct {
	ID            string   `json:"webhookId"`
	URL           string   `json:"url,omitempty"`
	Events        []string `json:"events,omitempty"`
	Encrypted     *bool    `json:"encryptMessageBody,omitempty"`
	Signed        *bool    `json:"addSignatureHeader,omitempty"`
	AuthHeaderKey string   `json:"authHeaderKey,omitempty"`
	AuthHeader    string   `json:"authHeaderValue,omitempty"` // "[set]"
	Secret        string   `json:"secret,omitempty"`          // "[set]", unless it is to be shown
}

func describe(w awareid.Webhook, showSecret bool) registration {
	r := registration{
		ID: w.ID, URL: w.URL, Events: w.Events, Encrypted: w.EncryptMessageBody, Signed: w.AddSignatureHeader,
		AuthHeaderKey: w.AuthHeaderKey, AuthHeader: w.AuthHeaderValue.String(), Secret: w.Secret.String(),
	}
	if showSecret {
		r.Secret = w.Secret.Reveal()
	}
	return r
}

const registrationFormat = "%-32s  %-9s  %-6s  %-6v  %s\n"

func (r registration) printLine(out io.Writer) {
	count := any(len(r.Events))
	if len(r.Events) == 0 {
		count = "-"
	}
	fmt.Fprintf(out, registrationFormat, printable(r.ID), toldBool(r.Encrypted), toldBool(r.Signed), count, told(r.URL))
}

func (r registration) print(out io.Writer) {
	line := func(name, value string) { fmt.Fprintf(out, "%-12s %s\n", name, value) }
	line("webhook", printable(r.ID))
	line("url", told(r.URL))
	line("events", toldEvents(r.Events))
	line("encrypted", toldBool(r.Encrypted))
	line("signed", toldBool(r.Signed))
	line("auth header", told(r.AuthHeaderKey))
	line("secret", told(r.Secret))
}

// told is what the platform said, in a form that a terminal can be trusted with.
func told(s string) string {
	if s == "" {
		return "-"
	}
	return printableUpTo(s, 1024)
}

func toldBool(b *bool) string {
	if b == nil {
		return "-"
	}
	return yesNo(*b)
}

func toldEvents(events []string) string {
	if len(missingEvents(events)) == 0 {
		return fmt.Sprintf("all %d", len(events))
	}
	return told(strings.Join(events, ","))
}

// missingEvents are the types of the reference that are not among events.
func missingEvents(events []string) []string {
	return slices.DeleteFunc(event.Types(), func(t string) bool { return slices.Contains(events, t) })
}
