package config

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
)

// Replace returns a copy of c in which the secret of one variable has another
// value, as Load would have read it. It refuses what Load refuses, in words that
// hold nothing of the value; it does not replace webhook secrets, for which see
// ReadSecretsFile.
func (c Config) Replace(variable string, value Secret) (Config, error) {
	if value == "" {
		return c, errors.New("it is empty")
	}
	numbered := len(c.Webhooks) > 0 && c.Webhooks[0].Name != ""
	c.Webhooks = slices.Clone(c.Webhooks)
	field := c.secret(variable, numbered)
	if field == nil {
		return c, fmt.Errorf("%s is no secret of this configuration", variable)
	}
	*field = value
	bad := problems{}
	c.validate(numbered, bad)
	if text := bad[variable]; text != "" {
		return c, errors.New(text)
	}
	return c, bad.err()
}

// secret returns the place of a variable in c, nil for none.
func (c *Config) secret(variable string, numbered bool) *Secret {
	for n := range c.Webhooks {
		if variable == webhookVariable(numbered, n, "AUTH_HEADER_VALUE") {
			return &c.Webhooks[n].AuthHeaderValue
		}
	}
	for _, part := range []any{c, &c.Platform} {
		for field, value := range reflect.ValueOf(part).Elem().Fields() {
			secret, ok := value.Addr().Interface().(*Secret)
			if ok && variableOf(field.Name) == variable {
				return secret
			}
		}
	}
	return nil
}
