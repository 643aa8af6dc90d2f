package awareid

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"awareid-gateway/internal/event"
)

const registrations = "/webhook/registration"

// recoverTimeout bounds finding out what became of a change of secret.
const recoverTimeout = 30 * time.Second

// Webhook is a registration as the platform tells it. What it does not tell is
// zero: the reference's sample of one webhook has no URL, and that of the list
// shows no element at all.
type Webhook struct {
	ID                 string
	URL                string
	AuthHeaderKey      string
	AuthHeaderValue    Secret
	EncryptMessageBody *bool
	AddSignatureHeader *bool
	Events             []string
	Secret             Secret // "secret" or "secretKey", which are the same
}

// Registration is what a webhook is registered with.
type Registration struct {
	URL             string // absolute, http or https
	AuthHeaderKey   string // "": no auth header
	AuthHeaderValue Secret
	Unencrypted     bool     // bodies come in plaintext
	Unsigned        bool     // there is no signature header
	Events          []string // the types to hear of; empty: all of [event.Types]
}

// Changes are what an update changes; what is nil is not sent. The reference says
// of the two switches that their default is true, so an update that leaves them
// out may switch them on.
type Changes struct {
	GenerateNewSecret  bool
	URL                *string
	AuthHeaderKey      *string
	AuthHeaderValue    *Secret
	EncryptMessageBody *bool
	AddSignatureHeader *bool
	Events             []string
}

// Issued is the answer to a registration and an update.
type Issued struct {
	WebhookID string
	Secret    Secret // in force from now on; "" where an update did not tell it
}

// Webhooks lists what is registered, as far as the list tells: ask [Client.Webhook]
// for the rest. An element that is a string is taken for an id. Repeated after
// failures.
func (c *Client) Webhooks(ctx context.Context) ([]Webhook, error) {
	var hooks []Webhook
	err := c.do(ctx, &request{
		operation: listWebhooks,
		method:    http.MethodGet,
		path:      registrations,
		read:      func(body []byte) (err error) { hooks, err = readWebhooks(body); return err },
	})
	return hooks, err
}

// Register registers a webhook. It is not sent again after an exchange that may
// have been carried out, but ends with ErrOutcomeUnknown. Then compare
// [Client.Webhooks] from before and after: an id that is new is that of the
// webhook, and [Client.Webhook] tells its secret.
func (c *Client) Register(ctx context.Context, r Registration) (Issued, error) {
	if err := checkTarget(&r.URL, &r.AuthHeaderKey, &r.AuthHeaderValue); err != nil {
		return Issued{}, fmt.Errorf("%s: %w", registerWebhook, err)
	}
	if len(r.Events) == 0 {
		r.Events = event.Types()
	}
	var issued Issued
	err := c.do(ctx, &request{
		operation: registerWebhook,
		method:    http.MethodPost,
		path:      registrations,
		body:      newRegistrationBody(r),
		once:      true,
		secrets:   []string{r.AuthHeaderValue.Reveal()},
		read: func(body []byte) (err error) {
			issued, err = readIssued(body)
			if err == nil && (issued.WebhookID == "" || issued.Secret == "") {
				err = malformed("webhookId or secret is missing")
			}
			return err
		},
	})
	if err != nil {
		return Issued{}, err
	}
	return issued, nil
}

// Webhook returns one registration, with its secret where the platform tells it.
// It returns ErrNotFound for an unknown id. Repeated after failures.
func (c *Client) Webhook(ctx context.Context, id string) (Webhook, error) {
	path, err := pathTo(registrations, id)
	if err != nil {
		return Webhook{}, fmt.Errorf("%s: %w", getWebhook, err)
	}
	var hook Webhook
	err = c.do(ctx, &request{
		operation: getWebhook,
		method:    http.MethodGet,
		path:      path,
		read:      func(body []byte) (err error) { hook, err = readWebhook(body, id); return err },
	})
	return hook, err
}

// Update changes a registration. The reference does not name the method: PUT is
// used, and PATCH from the first 405 on. It returns ErrNotFound for an unknown id.
//
// It is repeated after failures, unless it asks for a new secret: a second one
// would make the first, which signs from then on, unknown for good. Then it ends
// with ErrOutcomeUnknown where it may have been carried out; see [Client.Rotate].
func (c *Client) Update(ctx context.Context, id string, changes Changes) (Issued, error) {
	path, err := pathTo(registrations, id)
	if err == nil {
		err = checkTarget(changes.URL, changes.AuthHeaderKey, changes.AuthHeaderValue)
	}
	if err != nil {
		return Issued{}, fmt.Errorf("%s: %w", updateWebhook, err)
	}
	byPatch := c.updatesByPatch.Load()
	issued, err := c.update(ctx, byPatch, id, path, changes)
	if hasStatus(err, http.StatusMethodNotAllowed) {
		var other error
		issued, other = c.update(ctx, !byPatch, id, path, changes)
		if !hasStatus(other, http.StatusMethodNotAllowed) {
			c.updatesByPatch.Store(!byPatch)
			err = other
		}
	}
	return issued, err
}

func (c *Client) update(ctx context.Context, byPatch bool, id, path string, changes Changes) (Issued, error) {
	method := http.MethodPut
	if byPatch {
		method = http.MethodPatch
	}
	body := newChangesBody(changes)
	var issued Issued
	err := c.do(ctx, &request{
		operation: updateWebhook,
		method:    method,
		path:      path,
		body:      body,
		once:      changes.GenerateNewSecret,
		secrets:   []string{valueOf(body.AuthHeaderValue)},
		read: func(answer []byte) (err error) {
			issued, err = readUpdated(answer, id, changes)
			return err
		},
	})
	return issued, err
}

// readUpdated reads the answer to an update. The secret must be in it only where a
// new one was asked for; an answer without any body is good otherwise.
func readUpdated(answer []byte, id string, changes Changes) (Issued, error) {
	if len(answer) == 0 && !changes.GenerateNewSecret {
		return Issued{WebhookID: id}, nil
	}
	issued, err := readIssued(answer)
	switch {
	case err != nil:
		return Issued{}, err
	case issued.WebhookID != "" && issued.WebhookID != id:
		return Issued{}, malformed("webhookId is another one")
	case issued == Issued{}:
		return Issued{}, malformed("webhookId is missing")
	case issued.Secret == "" && changes.GenerateNewSecret:
		return Issued{}, malformed("secret is missing")
	}
	return Issued{WebhookID: id, Secret: issued.Secret}, nil
}

// Rotate makes the platform choose a new secret for a webhook, which it uses at
// once, and returns it. current is the webhook as [Client.Webhook] told it: what it
// tells is sent along unchanged, because an update might reset what it leaves out.
//
// The platform is asked once. Where its answer is lost, even to the end of ctx, the
// registration is read, for 30 s at most, and a secret other than the current one is
// the new one. If that does not help, the error is ErrOutcomeUnknown: the platform
// may use the new secret already or still come to it, so look with Webhook before
// rotating again.
func (c *Client) Rotate(ctx context.Context, current Webhook) (Secret, error) {
	issued, err := c.Update(ctx, current.ID, sameAs(current))
	if errors.Is(err, ErrOutcomeUnknown) {
		if secret, ok := c.newSecret(ctx, current); ok {
			return secret, nil
		}
	}
	if err != nil {
		return "", err
	}
	if issued.Secret == current.Secret {
		return "", fmt.Errorf("%s: %w", updateWebhook, malformed("the secret is still the same"))
	}
	return issued.Secret, nil
}

// newSecret looks whether the platform uses another secret than the current one.
func (c *Client) newSecret(ctx context.Context, current Webhook) (Secret, bool) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recoverTimeout)
	defer cancel()
	now, err := c.Webhook(ctx, current.ID)
	known := err == nil && now.Secret != "" && current.Secret != ""
	return now.Secret, known && now.Secret != current.Secret
}

// sameAs asks for a new secret and leaves the rest as it is.
func sameAs(w Webhook) Changes {
	changes := Changes{
		GenerateNewSecret:  true,
		EncryptMessageBody: w.EncryptMessageBody,
		AddSignatureHeader: w.AddSignatureHeader,
		Events:             w.Events,
	}
	if w.URL != "" {
		changes.URL = &w.URL
	}
	if w.AuthHeaderKey != "" && w.AuthHeaderValue != "" {
		changes.AuthHeaderKey, changes.AuthHeaderValue = &w.AuthHeaderKey, &w.AuthHeaderValue
	}
	return changes
}

// Delete removes a registration. It returns ErrNotFound for an unknown id, but not
// where an earlier try of the same call may have removed it. Repeated after failures.
func (c *Client) Delete(ctx context.Context, id string) error {
	path, err := pathTo(registrations, id)
	if err != nil {
		return fmt.Errorf("%s: %w", deleteWebhook, err)
	}
	q := &request{operation: deleteWebhook, method: http.MethodDelete, path: path}
	err = c.do(ctx, q)
	if q.acted && errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}

// pathTo appends a name to a path as one segment.
func pathTo(folder, name string) (string, error) {
	if !visible(name, maxNameChars) || name == "." || name == ".." {
		return "", errors.New("the id is missing or cannot stand in a path")
	}
	return folder + "/" + url.PathEscape(name), nil
}

// checkTarget refuses what cannot be meant, where it is given. The platform judges
// the rest.
func checkTarget(target, headerKey *string, headerValue *Secret) error {
	if target != nil {
		u, err := url.Parse(*target)
		if err != nil || u.Host == "" || u.User != nil || u.Scheme != "https" && u.Scheme != "http" {
			return errors.New("url: want an absolute http(s) URL without a user")
		}
	}
	key, value := valueOf(headerKey), valueOf(headerValue).Reveal()
	switch {
	case strings.ContainsFunc(key, func(r rune) bool { return !isTokenChar(r) }):
		return errors.New("authHeaderKey: not a header's name")
	case value != strings.TrimSpace(value) || strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r > '~' }):
		return errors.New("authHeaderValue: want ASCII characters, with blanks only between them")
	case (headerKey == nil) != (headerValue == nil) || (key == "") != (value == ""):
		return errors.New("authHeaderKey and authHeaderValue: want both or none")
	}
	return nil
}

// isTokenChar says which characters a header's name has (RFC 9110, section 5.6.2).
func isTokenChar(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || slices.Contains([]rune("!#$%&'*+-.^_`|~"), r)
}

// valueOf returns what p points to, the zero value for nil.
func valueOf[T any](p *T) T {
	if p == nil {
		return *new(T)
	}
	return *p
}
