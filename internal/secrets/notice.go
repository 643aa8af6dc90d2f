package secrets

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"awareid-gateway/internal/config"
	"awareid-gateway/internal/verify"
)

// ErrSealed says that a notice cannot be opened: none of the secrets sealed it for
// this webhook, or it was tampered with.
var ErrSealed = errors.New("the notice opens under no secret that is in force")

// Notice is what a rotation tells the replicas.
type Notice struct {
	At      time.Time              // later than that of any notice before
	Secrets []config.WebhookSecret // the new one first, then those still accepted
}

// Labels separate a use of a secret from every other one. The webhook's id follows.
const (
	keyInfo = "awareid-gateway secret rotation key v1 "
	aadInfo = "awareid-gateway secret rotation v1 "
)

// Bounds on what is read of a notice.
const (
	maxSealedBytes = 256 << 10
	maxSecrets     = 32 // sealed under, and told
)

// sealedNotice is a notice as it lies in Redis: one ciphertext for each secret
// that it was sealed under.
type sealedNotice struct {
	Sealed [][]byte `json:"sealed"`
}

// openNotice is what is in each of them. config.Secret does not let itself be
// marshalled.
type openNotice struct {
	At      time.Time    `json:"at"`
	Secrets []openSecret `json:"secrets"`
}

type openSecret struct {
	Value    string    `json:"value"`
	NotAfter time.Time `json:"notAfter,omitzero"`
}

// Seal encrypts a notice for each of the secrets by itself, so that any of them
// opens it: AES-256-GCM with a random nonce, under a key of HKDF-SHA-256 (RFC
// 5869) without salt from the secret's bytes, bound to the webhook.
func Seal(n Notice, webhookID string, under []config.WebhookSecret) ([]byte, error) {
	if len(under) == 0 || len(under) > maxSecrets || len(n.Secrets) > maxSecrets {
		return nil, fmt.Errorf("seal notice: want 1 to %d secrets", maxSecrets)
	}
	open := openNotice{At: n.At}
	for _, s := range n.Secrets {
		open.Secrets = append(open.Secrets, openSecret{s.Value.Reveal(), s.NotAfter})
	}
	plaintext, err := json.Marshal(open)
	if err != nil {
		return nil, fmt.Errorf("seal notice: %w", err)
	}
	var sealed sealedNotice
	for _, s := range under {
		aead, err := noticeCipher(s, webhookID)
		if err != nil {
			return nil, fmt.Errorf("seal notice: %w", err)
		}
		sealed.Sealed = append(sealed.Sealed, aead.Seal(nil, nil, plaintext, []byte(aadInfo+webhookID))) // #nosec G407 -- the AEAD draws its nonce itself
	}
	return json.Marshal(sealed)
}

// Open is the reverse of Seal, with any of the secrets that it was sealed under.
// Every failure is ErrSealed.
func Open(sealed []byte, webhookID string, with []config.WebhookSecret) (Notice, error) {
	var s sealedNotice
	if len(sealed) > maxSealedBytes || json.Unmarshal(sealed, &s) != nil || len(s.Sealed) > maxSecrets {
		return Notice{}, ErrSealed
	}
	for _, secret := range with {
		aead, err := noticeCipher(secret, webhookID)
		if err != nil {
			return Notice{}, ErrSealed
		}
		for _, ciphertext := range s.Sealed {
			if plaintext, err := aead.Open(nil, nil, ciphertext, []byte(aadInfo+webhookID)); err == nil {
				return readNotice(plaintext)
			}
		}
	}
	return Notice{}, ErrSealed
}

func readNotice(plaintext []byte) (Notice, error) {
	var open openNotice
	if json.Unmarshal(plaintext, &open) != nil {
		return Notice{}, ErrSealed
	}
	n := Notice{At: open.At}
	for _, s := range open.Secrets {
		n.Secrets = append(n.Secrets, config.WebhookSecret{Value: config.Secret(s.Value), NotAfter: s.NotAfter})
	}
	return n, nil
}

func noticeCipher(s config.WebhookSecret, webhookID string) (cipher.AEAD, error) {
	key, err := hkdf.Key(sha256.New, bytesOf(s), nil, keyInfo+webhookID, 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// InForce are the configured secrets, then those that were told beyond them and
// have not ended. A secret that is in both ends when the configuration says so,
// where it does.
func InForce(configured, told []config.WebhookSecret, now time.Time) []config.WebhookSecret {
	all := slices.Clone(configured)
	for _, t := range told {
		switch i := indexOf(all, t); {
		case i < 0 && isLive(t, now):
			all = append(all, t)
		case i < 0:
		case i < len(configured) && all[i].NotAfter.IsZero():
			all[i].NotAfter = t.NotAfter
		}
	}
	return all
}

// live are the secrets that have not ended.
func live(all []config.WebhookSecret, now time.Time) []config.WebhookSecret {
	return slices.DeleteFunc(slices.Clone(all), func(s config.WebhookSecret) bool { return !isLive(s, now) })
}

func isLive(s config.WebhookSecret, now time.Time) bool {
	return s.NotAfter.IsZero() || now.Before(s.NotAfter)
}

// endAfter says whether some of the secrets have an end that is later than that.
func endAfter(all []config.WebhookSecret, t time.Time) bool {
	return slices.ContainsFunc(all, func(s config.WebhookSecret) bool { return s.NotAfter.After(t) })
}

func indexOf(all []config.WebhookSecret, s config.WebhookSecret) int {
	return slices.IndexFunc(all, func(other config.WebhookSecret) bool { return Same(other, s) })
}

// Same says whether two are one secret, however they are written, whatever their
// end.
func Same(a, b config.WebhookSecret) bool { return slices.Equal(bytesOf(a), bytesOf(b)) }

func bytesOf(s config.WebhookSecret) []byte { return verify.Secret{Value: s.Value.Reveal()}.Bytes() }

func idsOf(all []config.WebhookSecret) []string {
	ids := make([]string, len(all))
	for i, s := range all {
		ids[i] = verify.Secret{Value: s.Value.Reveal()}.ID()
	}
	return ids
}
