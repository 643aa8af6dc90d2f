package awareid

import "errors"

// credentials are what the platform knows the client by. They are never changed,
// only replaced as a whole: one exchange goes by those that it found.
type credentials struct{ clientSecret, apiKey Secret }

func (c credentials) validate() error {
	switch {
	case !visible(c.clientSecret.Reveal(), maxSecretChars):
		return errors.New("client secret: missing or not visible ASCII")
	case !visible(c.apiKey.Reveal(), maxSecretChars):
		return errors.New("API key: missing or not visible ASCII")
	}
	return nil
}

// SetClientSecret replaces the client's secret for tokens to come; one that was
// bought with the secret of before serves to its end. Where it fails, which says
// nothing of the secret, that of before stays.
func (c *Client) SetClientSecret(s Secret) error {
	return c.replace(func(next *credentials) { next.clientSecret = s })
}

// SetAPIKey replaces the API key for exchanges to come. Its error is like that of
// SetClientSecret.
func (c *Client) SetAPIKey(s Secret) error {
	return c.replace(func(next *credentials) { next.apiKey = s })
}

func (c *Client) replace(change func(*credentials)) error {
	for {
		old := c.credentials.Load()
		next := *old
		change(&next)
		if err := next.validate(); err != nil {
			return err
		}
		if c.credentials.CompareAndSwap(old, &next) {
			return nil
		}
	}
}
