package config_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/config"
)

// exampleEntry is one variable of config.example.env.
type exampleEntry struct {
	name, value string
	commented   bool   // the line starts with #
	text        string // the comment lines right above it, as one line
}

func readExample(t *testing.T) []exampleEntry {
	t.Helper()
	content, err := os.ReadFile("../../config.example.env")
	require.NoError(t, err)
	// Values that a shell, systemd and docker --env-file all read alike.
	assignment := regexp.MustCompile(`^(#?)([A-Z][A-Z0-9_]*)=([A-Za-z0-9+/=:.,_-]*)$`)
	var entries []exampleEntry
	var comment []string
	for line := range strings.Lines(string(content)) {
		line = strings.TrimSuffix(line, "\n")
		if m := assignment.FindStringSubmatch(line); m != nil {
			entries = append(entries, exampleEntry{m[2], m[3], m[1] != "", strings.Join(comment, " ")})
			comment = nil
			continue
		}
		text, isComment := strings.CutPrefix(line, "# ")
		require.True(t, line == "" || isComment, "line %q", line)
		if comment = append(comment, text); line == "" {
			comment = nil
		}
	}
	return entries
}

func TestExampleMatchesVariables(t *testing.T) {
	variables := config.Variables()
	entries := readExample(t)
	require.Len(t, entries, len(variables))
	for i, v := range variables {
		t.Run(v.Name, func(t *testing.T) {
			entry := entries[i]
			require.Equal(t, v.Name, entry.name)
			want := v.Description + "."
			if v.Required {
				want += " Required."
			}
			if v.Secret {
				want += " Secret: also as " + v.Name + "_FILE."
			}
			require.Equal(t, want, entry.text)

			alternative := strings.HasPrefix(v.Name, "WEBHOOKS_0_")
			require.Equal(t, v.Required && !alternative, !entry.commented)
			if entry.commented {
				require.Equal(t, v.Default, entry.value)
			} else {
				require.NotEmpty(t, entry.value)
			}
		})
	}
}

func TestExampleLoads(t *testing.T) {
	var asIs, uncommented []string
	for _, entry := range readExample(t) {
		assignment := entry.name + "=" + entry.value
		uncommented = append(uncommented, assignment)
		if !entry.commented {
			asIs = append(asIs, assignment)
		}
	}
	cfg := load(t, asIs)
	require.Equal(t, cfg, load(t, uncommented))
}

func TestVariablesAreDescribed(t *testing.T) {
	seen := map[string]bool{}
	for _, v := range config.Variables() {
		require.Regexp(t, `^[A-Z][A-Z0-9_]+$`, v.Name)
		require.Regexp(t, `^[A-Z].*[^.\s]$`, v.Description, v.Name)
		require.NotContains(t, v.Description, "\n", v.Name)
		require.False(t, seen[v.Name], v.Name)
		require.False(t, v.Required && v.Default != "", "%s: required and with a default", v.Name)
		require.False(t, v.Secret && v.Default != "", "%s: a secret with a default", v.Name)
		seen[v.Name] = true
	}
}
