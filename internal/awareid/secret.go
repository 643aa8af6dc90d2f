package awareid

import (
	"fmt"
	"io"
	"log/slog"
)

// Secret is a value that must not be printed. Formatting, marshalling and
// logging it give "[set]", or nothing when it is empty; only Reveal and a
// conversion give the value.
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

// Format writes String for every verb; without it %x, %d and %#v would show the
// value.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// MarshalText returns String, for JSON and other encodings.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// LogValue returns String, for slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }
