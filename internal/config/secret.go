package config

import (
	"fmt"
	"io"
	"log/slog"
	"strings"
)

// Secret is a value that must not be printed. Formatting, marshalling and
// logging it give "[set]", or nothing when it is empty; only Reveal and a
// conversion give the value.
//
// The promise does not hold for an unexported struct field, whose methods fmt
// cannot call: keep a Secret in exported fields, or reveal it where it is used.
type Secret string

// Reveal returns the value.
func (s Secret) Reveal() string { return string(s) }

// String returns "[set]", or "" for an empty secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return "[set]"
}

// GoString is String, for %#v.
func (s Secret) GoString() string { return s.String() }

// Format writes String for every verb; without it %x and %d would show the
// value.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// MarshalText returns String, for JSON and other encodings.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// LogValue returns String, for slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// Lines returns the values of a secret that may hold several, one a line.
func (s Secret) Lines() []Secret { return s.split("\n") }

// Keys returns the keys of a secret that may hold several, by comma or one a line.
func (s Secret) Keys() []Secret {
	keys := Secret(strings.ReplaceAll(s.Reveal(), "\n", ",")).split(",")
	for i, key := range keys {
		keys[i] = Secret(strings.TrimSpace(key.Reveal()))
	}
	return keys
}

// split is empty for an empty secret.
func (s Secret) split(separator string) []Secret {
	if s == "" {
		return nil
	}
	var all []Secret
	for part := range strings.SplitSeq(s.Reveal(), separator) {
		all = append(all, Secret(part))
	}
	return all
}
