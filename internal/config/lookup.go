package config

import (
	"maps"
	"slices"
	"strings"

	"github.com/caarlos0/env/v11"
)

// Lookup returns the named variables, each from NAME or, for a secret, from the
// file that NAME_FILE names. It is for commands that need a few variables and
// not a whole configuration. What is not set is missing from the map. The error
// names the variables and holds no value.
func Lookup(environ []string, names ...string) (map[string]Secret, error) {
	bad := problems{}
	vars := env.ToMap(environ)
	maps.DeleteFunc(vars, func(name, value string) bool {
		return value == "" || !slices.Contains(names, strings.TrimSuffix(name, fileSuffix))
	})
	readSecretFiles(vars, bad)
	found := make(map[string]Secret, len(names))
	for _, name := range names {
		if value, ok := vars[name]; ok {
			found[name] = Secret(value)
		}
	}
	return found, bad.err()
}

// ParseSecrets reads a list of webhook secrets as AWAREID_WEBHOOK_SECRETS has
// it. The errors count entries from 1 and hold no value.
func ParseSecrets(list Secret) ([]WebhookSecret, error) { return parseSecrets(list.Reveal()) }
