package config

import (
	"maps"
	"net/url"
	"strings"

	"github.com/caarlos0/env/v11"
)

// Platform says how AwareID's own API is called. The gateway can do without: it
// receives callbacks all the same, and fetches nothing that was missed.
type Platform struct {
	BaseURL       string `env:"AWAREID_BASE_URL" desc:"AwareID's API, https://host[:port][/prefix]; plain http to loopback only; empty: callbacks alone, and nothing is fetched"`
	Customer      string `env:"AWAREID_CUSTOMER" desc:"Customer name in the token's path /auth/realms/{customer}-consumers"`
	ClientID      string `env:"AWAREID_CLIENT_ID" desc:"Client id for the token"`
	ClientSecret  Secret `env:"AWAREID_CLIENT_SECRET" desc:"Client secret for the token"`
	APIKey        Secret `env:"AWAREID_API_KEY" desc:"Value of the apikey header"`
	EventDataPath string `env:"AWAREID_EVENT_DATA_PATH" envDefault:"/webhook/event" desc:"Path of the event-data API below AWAREID_BASE_URL"`
	CAFile        string `env:"AWAREID_CA_FILE" desc:"File of certificates (PEM) that vouch for AwareID; empty is the system's"`
}

// Configured says whether there is a platform to call.
func (p Platform) Configured() bool { return p.BaseURL != "" }

// LoadPlatform reads, for a command that needs nothing else, how AwareID's API is
// called, which must be configured. Strings and error are as with Load; names that
// Load knows are let pass unread.
func LoadPlatform(environ []string) (Platform, []string, error) {
	bad := problems{}
	vars := env.ToMap(environ)
	warnings := checkNames(vars, bad)
	own := map[string]bool{}
	for _, v := range fieldVariables[Platform](tagSingle, "") {
		own[v.Name], own[v.Name+fileSuffix] = true, true
	}
	maps.DeleteFunc(vars, func(name, value string) bool { return value == "" || !own[name] })
	readSecretFiles(vars, bad)
	var p Platform
	parse(&p, vars, bad)
	if p.BaseURL == "" {
		bad.add("AWAREID_BASE_URL", "required and not set (AwareID's API)")
	}
	p.validate(bad)
	if err := bad.err(); err != nil {
		return Platform{}, warnings, err
	}
	return p, warnings, nil
}

func (p Platform) validate(bad problems) {
	all := map[string]string{
		"AWAREID_CUSTOMER": p.Customer, "AWAREID_CLIENT_ID": p.ClientID,
		"AWAREID_CLIENT_SECRET": p.ClientSecret.Reveal(), "AWAREID_API_KEY": p.APIKey.Reveal(),
	}
	for name, value := range all {
		switch {
		case p.BaseURL == "" && value != "":
			bad.add("AWAREID_BASE_URL", "not set, although %s is", name)
		case p.BaseURL != "" && value == "":
			bad.add(name, "required with AWAREID_BASE_URL, and not set")
		}
	}
	if p.BaseURL != "" {
		p.validateBaseURL(bad)
	}
	if p.Customer != "" && !consistsOf(p.Customer, alphanumeric+"._-", 128) {
		bad.add("AWAREID_CUSTOMER", "%s: want 1 to 128 letters, digits, ., _ and -", quote(p.Customer))
	}
	if p.APIKey != "" && !isHeaderValue(p.APIKey.Reveal()) {
		bad.add("AWAREID_API_KEY", "want visible ASCII characters, with blanks only between them")
	}
	if !strings.HasPrefix(p.EventDataPath, "/") {
		bad.add("AWAREID_EVENT_DATA_PATH", "%s does not begin with /", quote(p.EventDataPath))
	}
}

// validateBaseURL does not quote the URL, which may hold a password by mistake.
func (p Platform) validateBaseURL(bad problems) {
	base, err := url.Parse(p.BaseURL)
	switch {
	case err != nil || base.Host == "" || base.User != nil || strings.ContainsAny(p.BaseURL, "?#"):
		bad.add("AWAREID_BASE_URL", "want https://host[:port][/prefix], without user, query and fragment")
	case base.Scheme == "https":
	case base.Scheme != "http":
		bad.add("AWAREID_BASE_URL", "want https://")
	case !isLoopbackHost(base.Hostname()):
		bad.add("AWAREID_BASE_URL", "want https:// for a host that is not loopback")
	}
}
