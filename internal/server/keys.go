package server

import (
	"crypto/rsa"
	"fmt"
	"time"

	"awareid-gateway/internal/decrypt"
	"awareid-gateway/internal/verify"
)

// keys are the secrets of a webhook that are in force, ready for use. They are
// never changed, only replaced as a whole: a request is judged and opened with
// those that it found.
type keys struct {
	secrets  []verify.Secret
	ids      []string // of the secrets
	verifier *verify.Verifier
	opener   *decrypt.Opener
}

func newKeys(secrets []verify.Secret, verifier *verify.Verifier, opener *decrypt.Opener) *keys {
	k := &keys{secrets: secrets, verifier: verifier, opener: opener, ids: make([]string, len(secrets))}
	for i, s := range secrets {
		k.ids[i] = s.ID()
	}
	return k
}

// with is what k is, for other secrets.
func (k *keys) with(secrets []verify.Secret) (*keys, error) {
	verifier, err := k.verifier.With(secrets)
	if err != nil {
		return nil, err
	}
	values := make([]string, len(secrets))
	for i, s := range secrets {
		values[i] = s.Value
	}
	return newKeys(secrets, verifier, k.opener.With(values)), nil
}

// usable tells the secrets that still authenticate.
func (k *keys) usable(now time.Time) func(int) bool {
	return func(i int) bool {
		end := k.secrets[i].NotAfter
		return end.IsZero() || now.Before(end)
	}
}

// SetSecrets puts other secrets of a webhook in force, for requests that are
// still to be judged and for those that are held. An error, which holds no
// secret, says why the ones of before stay in force. It must not be called
// concurrently for one webhook.
func (s *Server) SetSecrets(webhookID string, secrets []verify.Secret) error {
	h := s.hookOf(webhookID)
	if h == nil {
		return fmt.Errorf("webhook %s: not served here", webhookID)
	}
	next, err := h.keys.Load().with(secrets)
	if err != nil {
		return fmt.Errorf("webhook %s: %w", webhookID, err)
	}
	h.keys.Store(next)
	h.waiting.wake()
	return nil
}

// SetAuthHeaderValue puts other values of a webhook's auth header in force, one a
// line, for requests that are still to be judged. Error and concurrency are as with
// SetSecrets, beside which it must not be called either.
func (s *Server) SetAuthHeaderValue(webhookID, value string) error {
	h := s.hookOf(webhookID)
	if h == nil {
		return fmt.Errorf("webhook %s: not served here", webhookID)
	}
	k := h.keys.Load()
	verifier, err := k.verifier.WithAuthHeader(value)
	if err != nil {
		return fmt.Errorf("webhook %s: %w", webhookID, err)
	}
	h.keys.Store(newKeys(k.secrets, verifier, k.opener))
	h.waiting.wake()
	return nil
}

// SetPrivateKeys has every webhook open wrapped keys with other private keys, or none:
// what one of them refuses changes nothing. Error and concurrency are as with
// SetAuthHeaderValue.
func (s *Server) SetPrivateKeys(private []*rsa.PrivateKey) error {
	next := make(map[string]*keys, len(s.hooks))
	for path, h := range s.hooks {
		k := h.keys.Load()
		opener, err := k.opener.WithPrivateKeys(private)
		if err != nil {
			return fmt.Errorf("webhook %s: %w", h.ID, err)
		}
		next[path] = newKeys(k.secrets, k.verifier, opener)
	}
	for path, h := range s.hooks {
		h.keys.Store(next[path])
	}
	return nil
}

// SetRotating says whether a rotation of a webhook's secret is under way. While
// it is, requests whose signature fails are held for a short time, until
// SetSecrets brings a secret under which it may hold. Call it with false behind
// SetSecrets.
func (s *Server) SetRotating(webhookID string, rotating bool) {
	if h := s.hookOf(webhookID); h != nil {
		h.waiting.set(rotating)
	}
}

func (s *Server) hookOf(webhookID string) *hook {
	for _, h := range s.hooks {
		if h.ID == webhookID {
			return h
		}
	}
	return nil
}
