package awareid

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"sync"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/sync/singleflight"
)

const (
	// A token is renewed renewAhead of its end, or earlier than that by a fifth of
	// its life where it is short.
	renewAhead = 30 * time.Second
	// assumedLife is that of a token without expires_in, which RFC 6749 allows.
	assumedLife = time.Minute
)

// tokens keeps the token and renews it, once for all who wait for it.
type tokens struct {
	buy     func(context.Context) (*oauth2.Token, error)
	renewal singleflight.Group

	mu      sync.Mutex
	value   string
	renewAt time.Time
	ends    time.Time
}

// get returns a token other than rejected, which the platform no longer takes,
// unless it sells the same again. A token that is about to end still serves where
// no new one can be had.
func (t *tokens) get(ctx context.Context, rejected string) (string, error) {
	if token, ok := t.fresh(rejected); ok {
		return token, nil
	}
	// One caller's end must not fail the others: the renewal goes on without it,
	// in bounded time, and what it brings is kept.
	renewed := t.renewal.DoChan("", func() (any, error) {
		if token, ok := t.fresh(rejected); ok {
			return token, nil // it came between the look above and here
		}
		return t.renew(context.WithoutCancel(ctx))
	})
	select {
	case <-ctx.Done():
		return "", &unanswered{cause: ctx.Err(), final: true}
	case result := <-renewed:
		if result.Err == nil {
			return result.Val.(string), nil
		}
		if token, ok := t.good(rejected); ok {
			return token, nil
		}
		return "", result.Err
	}
}

func (t *tokens) renew(ctx context.Context) (string, error) {
	token, err := t.buy(ctx)
	if err != nil {
		return "", err
	}
	life := assumedLife
	if !token.Expiry.IsZero() {
		life = time.Until(token.Expiry)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.value, t.ends = token.AccessToken, time.Now().Add(life)
	t.renewAt = t.ends.Add(-min(renewAhead, life/5))
	return t.value, nil
}

// fresh returns the token unless it is rejected, or due for renewal.
func (t *tokens) fresh(rejected string) (string, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.value, t.value != rejected && time.Now().Before(t.renewAt)
}

// good returns the token unless it is rejected, or at its end.
func (t *tokens) good(rejected string) (string, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.value, t.value != rejected && time.Now().Before(t.ends)
}

// buyToken gets a token for the client credentials, with as many tries as any
// other call that may be repeated.
func (c *Client) buyToken(ctx context.Context) (*oauth2.Token, error) {
	var token *oauth2.Token
	err := c.persist(ctx, &request{operation: getToken}, func() error {
		return c.exchange(ctx, getToken, func(ctx context.Context) error {
			own, sale := c.credentials.Load(), c.sale
			sale.ClientSecret = own.clientSecret.Reveal()
			got, err := sale.Token(context.WithValue(ctx, oauth2.HTTPClient, c.http))
			if err != nil {
				return tokenError(ctx, err, own.clientSecret)
			}
			token = got
			return checkToken(got)
		})
	})
	return token, err
}

// checkToken refuses what cannot stand in the header, and other kinds than the
// reference's.
func checkToken(t *oauth2.Token) error {
	switch {
	case !visible(t.AccessToken, maxSecretChars):
		return malformed("access_token is no token")
	case !strings.EqualFold(t.Type(), "Bearer"):
		return malformed("token_type is not Bearer")
	}
	return nil
}

// tokenError translates the errors of oauth2, whose text may hold the whole
// answer. The refusals have the form of RFC 6749, section 5.2.
func tokenError(ctx context.Context, err error, secret Secret) error {
	if refused, ok := errors.AsType[*oauth2.RetrieveError](err); ok {
		secrets := []string{secret.Reveal()}
		e := refusal(refused.Response, refused.Body, secrets)
		e.ofToken = true
		if refused.ErrorCode != "" {
			e.Code, e.Message = code(masked(refused.ErrorCode, secrets)), masked(refused.ErrorDescription, secrets)
		}
		return e
	}
	if _, ok := errors.AsType[*url.Error](err); ok {
		return noAnswer(ctx, err, true)
	}
	return malformed("no token in it")
}
