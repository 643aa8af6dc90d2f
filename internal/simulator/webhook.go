package simulator

import (
	"cmp"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
)

// ErrUnknownWebhook says that no webhook has this id (any more).
var ErrUnknownWebhook = errors.New("unknown webhook")

// Webhook is a registration, by the reference's "register a webhook".
type Webhook struct {
	ID     string // 32 hex digits
	Secret string // base64 of 32 bytes
	URL    string
	Events []string // the types it hears of

	AuthHeaderKey, AuthHeaderValue string

	EncryptMessageBody bool
	AddSignatureHeader bool
}

// Register adds a webhook without going over HTTP, and returns it. An empty id or
// secret is chosen, no events means all. A webhook of the same id is replaced. It
// returns an error where the URL is not absolute http(s), a type is unknown, or
// the secret is not base64 of 32 bytes.
func (p *Platform) Register(w Webhook) (Webhook, error) {
	if len(w.Events) == 0 {
		w.Events = Types()
	}
	if err := check(w); err != nil {
		return Webhook{}, fmt.Errorf("register webhook: %w", err)
	}
	w.ID = cmp.Or(w.ID, hex.EncodeToString(random(16)))
	w.Secret = cmp.Or(w.Secret, newSecret())
	if _, err := p.SchemeOf(w).secret(); err != nil {
		return Webhook{}, fmt.Errorf("register webhook: %w", err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.webhooks[w.ID] = &registration{Webhook: w, history: newHistory(p.options.KeepBytes)}
	return w, nil
}

// Webhook returns a webhook as it is now, or [ErrUnknownWebhook].
func (p *Platform) Webhook(id string) (Webhook, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r, ok := p.webhooks[id]
	if !ok {
		return Webhook{}, ErrUnknownWebhook
	}
	return r.Webhook, nil
}

// SchemeOf returns how callbacks of this webhook are sealed.
func (p *Platform) SchemeOf(w Webhook) Scheme {
	s := p.options.Scheme
	s.Secret = w.Secret
	s.AuthHeaderKey, s.AuthHeaderValue = w.AuthHeaderKey, w.AuthHeaderValue
	s.Unsigned = !w.AddSignatureHeader
	if !w.EncryptMessageBody {
		s.Cipher = "none"
	}
	return s
}

func check(w Webhook) error {
	u, err := url.Parse(w.URL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return badInput("url is missing or not an http(s) URI")
	}
	if len(w.Events) == 0 || !allKnown(w.Events) {
		return badInput("events is missing or names an unknown type")
	}
	return nil
}

// webhookRequest is the body of register and update: what is absent keeps its
// value, or its default.
type webhookRequest struct {
	GenerateNewSecret  bool     `json:"generateNewSecret"`
	URL                *string  `json:"url"`
	AuthHeaderKey      *string  `json:"authHeaderKey"`
	AuthHeaderValue    *string  `json:"authHeaderValue"`
	EncryptMessageBody *bool    `json:"encryptMessageBody"`
	AddSignatureHeader *bool    `json:"addSignatureHeader"`
	Events             []string `json:"events"`
}

func (q webhookRequest) applyTo(w *Webhook) {
	set(&w.URL, q.URL)
	set(&w.AuthHeaderKey, q.AuthHeaderKey)
	set(&w.AuthHeaderValue, q.AuthHeaderValue)
	set(&w.EncryptMessageBody, q.EncryptMessageBody)
	set(&w.AddSignatureHeader, q.AddSignatureHeader)
	if q.Events != nil {
		w.Events = q.Events
	}
	if q.GenerateNewSecret {
		w.Secret = newSecret()
	}
}

func set[T any](to, from *T) {
	if from != nil {
		*to = *from
	}
}

func (p *Platform) register(w http.ResponseWriter, r *http.Request) error {
	var q webhookRequest
	if err := readJSON(r, &q); err != nil {
		return err
	}
	hook := Webhook{EncryptMessageBody: true, AddSignatureHeader: true}
	q.applyTo(&hook)
	if err := check(hook); err != nil {
		return err
	}
	hook, err := p.Register(hook)
	if err != nil {
		return err
	}
	if p.options.OnRegister != nil {
		p.options.OnRegister(hook)
	}
	writeJSON(w, http.StatusOK, secretAnswer(hook))
	return nil
}

func (p *Platform) update(w http.ResponseWriter, r *http.Request) error {
	var q webhookRequest
	if err := readJSON(r, &q); err != nil {
		return err
	}
	hook, err := p.change(r.PathValue("webhookId"), q)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, secretAnswer(hook))
	return nil
}

func (p *Platform) change(id string, q webhookRequest) (Webhook, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	known, ok := p.webhooks[id]
	if !ok {
		return Webhook{}, errNoWebhook
	}
	changed := known.Webhook
	q.applyTo(&changed)
	if err := check(changed); err != nil {
		return Webhook{}, err
	}
	known.Webhook = changed
	return changed, nil
}

func (p *Platform) get(w http.ResponseWriter, r *http.Request) error {
	hook, err := p.Webhook(r.PathValue("webhookId"))
	if err != nil {
		return errNoWebhook
	}
	// The reference's sample calls the secret "secretKey" here, and has no url.
	answer := describe(hook)
	answer["secretKey"] = hook.Secret
	writeJSON(w, http.StatusOK, answer)
	return nil
}

func (p *Platform) list(w http.ResponseWriter, _ *http.Request) error {
	hooks := make([]map[string]any, 0)
	p.mu.Lock()
	for _, id := range slices.Sorted(maps.Keys(p.webhooks)) {
		hook := p.webhooks[id].Webhook
		entry := describe(hook)
		entry["url"] = hook.URL
		hooks = append(hooks, entry)
	}
	p.mu.Unlock()
	writeJSON(w, http.StatusOK, map[string]any{"list": hooks})
	return nil
}

func (p *Platform) delete(w http.ResponseWriter, r *http.Request) error {
	id := r.PathValue("webhookId")
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, ok := p.webhooks[id]; !ok {
		return errNoWebhook
	}
	delete(p.webhooks, id)
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func secretAnswer(w Webhook) map[string]any {
	return map[string]any{"webhookId": w.ID, "secret": w.Secret}
}

func describe(w Webhook) map[string]any {
	return map[string]any{
		"webhookId":          w.ID,
		"authHeaderKey":      w.AuthHeaderKey,
		"authHeaderValue":    w.AuthHeaderValue,
		"encryptMessageBody": w.EncryptMessageBody,
		"addSignatureHeader": w.AddSignatureHeader,
		"events":             w.Events,
	}
}
