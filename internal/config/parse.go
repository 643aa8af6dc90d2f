package config

import (
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"

	"github.com/caarlos0/env/v11"
)

// parsers returns the readers of the list types; their errors name the entry.
func parsers() map[reflect.Type]env.ParserFunc {
	return map[reflect.Type]env.ParserFunc{
		reflect.TypeFor[[]string]():       list(parseEntry),
		reflect.TypeFor[[]netip.Prefix](): list(parsePrefix),
		reflect.TypeFor[[]Route]():        list(parseRoute),
	}
}

// list reads comma-separated entries with one; blanks around an entry are
// dropped and an empty entry is an error.
func list[T any](one func(string) (T, error)) env.ParserFunc {
	return func(value string) (any, error) {
		var entries []T
		for part := range strings.SplitSeq(value, ",") {
			part = strings.TrimSpace(part)
			if part == "" {
				return nil, fmt.Errorf("entry %d is empty", len(entries)+1)
			}
			entry, err := one(part)
			if err != nil {
				return nil, err
			}
			entries = append(entries, entry)
		}
		return entries, nil
	}
}

func parseEntry(s string) (string, error) { return s, nil }

// parsePrefix reads a network, or an address as the network of itself alone.
// IPv4 in its IPv6 form is refused: it would never match a caller's address.
func parsePrefix(s string) (netip.Prefix, error) {
	prefix, err := netip.ParsePrefix(s)
	if addr, addrErr := netip.ParseAddr(s); addrErr == nil && addr.Zone() == "" {
		prefix, err = addr.Prefix(addr.BitLen())
	}
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("%s is no network such as 10.0.0.0/8 and no address", quote(s))
	}
	if prefix.Addr().Is4In6() {
		return netip.Prefix{}, fmt.Errorf("%s: write IPv4 in its own form", quote(s))
	}
	return prefix.Masked(), nil
}

func parseRoute(s string) (Route, error) {
	pattern, topic, found := strings.Cut(s, "=")
	if !found {
		return Route{}, fmt.Errorf("%s is not pattern=topic", quote(s))
	}
	return Route{strings.TrimSpace(pattern), strings.TrimSpace(topic)}, nil
}

const (
	alphanumeric = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	lowercase    = "abcdefghijklmnopqrstuvwxyz0123456789"
	headerToken  = alphanumeric + "!#$%&'*+-.^_`|~" // RFC 9110, 5.6.2
)

// consistsOf reports whether s has 1 to longest bytes, all of them in alphabet.
func consistsOf(s, alphabet string, longest int) bool {
	outside := func(r rune) bool { return !strings.ContainsRune(alphabet, r) }
	return s != "" && len(s) <= longest && !strings.ContainsFunc(s, outside)
}

// isTopic reports whether Kafka takes s as a topic's name.
func isTopic(s string) bool {
	return consistsOf(s, alphanumeric+"._-", maxTopicLength) && s != "." && s != ".."
}

// isPattern reports whether s is *, a type, or a leading part of one and ".*".
func isPattern(s string) bool {
	typ := strings.TrimSuffix(s, ".*")
	return s == "*" || consistsOf(typ, alphanumeric+"._-", maxTypeLength) && !slices.Contains(strings.Split(typ, "."), "")
}

func checkHeaderValue(s string) error {
	if !isHeaderValue(s) {
		return errors.New("want visible ASCII characters, with blanks only between them")
	}
	return nil
}

// eachLine reports the first line of a secret that a check refuses.
func (s Secret) eachLine(variable string, bad problems, check func(string) error) {
	lines := s.Lines()
	for i, line := range lines {
		switch err := check(line.Reveal()); {
		case err != nil && len(lines) == 1:
			bad.add(variable, "%v", err)
		case err != nil:
			bad.add(variable, "line %d: %v", i+1, err)
		}
	}
}

// isHeaderValue reports whether s can be sent as a header's whole value.
func isHeaderValue(s string) bool {
	outside := func(r rune) bool { return r < ' ' || r > '~' }
	return s != "" && strings.TrimSpace(s) == s && !strings.ContainsFunc(s, outside)
}
