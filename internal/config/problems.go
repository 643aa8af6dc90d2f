package config

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// problems holds what is wrong, by variable. The first finding for a variable
// stays: later ones are usually its consequences.
type problems map[string]string

func (p problems) add(variable, format string, args ...any) {
	if _, known := p[variable]; !known {
		p[variable] = fmt.Sprintf(format, args...)
	}
}

// err returns nil for no problems, else one error with a line for each.
func (p problems) err() error {
	if len(p) == 0 {
		return nil
	}
	lines := []string{"these environment variables need attention:"}
	for _, name := range slices.Sorted(maps.Keys(p)) {
		lines = append(lines, "  "+name+": "+p[name])
	}
	return errors.New(strings.Join(lines, "\n"))
}

// quote shows a value that is no secret, cut to a length that fits a line.
func quote(value string) string {
	const longest = 80
	if len(value) > longest {
		return fmt.Sprintf("%q…", value[:longest])
	}
	return fmt.Sprintf("%q", value)
}

func (p problems) oneOf(variable, value string, allowed ...string) {
	if !slices.Contains(allowed, value) {
		choice := strings.Join(slices.DeleteFunc(slices.Clone(allowed), func(s string) bool { return s == "" }), ", ")
		p.add(variable, "%s: want one of %s", quote(value), choice)
	}
}

func positive[T int | int64 | time.Duration](p problems, variable string, value T) {
	if value <= 0 {
		p.add(variable, "%v: want more than 0", value)
	}
}

func (p problems) notNegative(variable string, value int) {
	if value < 0 {
		p.add(variable, "%d: want 0 or more", value)
	}
}

func (p problems) address(variable, value string) {
	if _, _, err := splitAddress(value); err != nil {
		p.add(variable, "%s is not host:port with a port from 0 to 65535", quote(value))
	}
}

func (p problems) bothOrNeither(a string, hasA bool, b string, hasB bool) {
	switch {
	case hasA && !hasB:
		p.add(b, "required with %s, and not set", a)
	case hasB && !hasA:
		p.add(a, "required with %s, and not set", b)
	}
}
