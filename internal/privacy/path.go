package privacy

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// path is a parsed path, one segment for each step from the root.
type path struct {
	text     string // as it is told in records
	segments []segment
}

// segment selects children of a value (RFC 9535, section 2.5), or, as a descendant
// segment, also those of everything in it.
type segment struct {
	selector
	descendant bool
}

// selector is one of RFC 9535, section 2.3: a name, an index, or the wildcard.
type selector struct {
	kind  selectorKind
	name  string
	index int
}

type selectorKind int

const (
	byName selectorKind = iota
	byIndex
	wildcard
)

// key is where a child stands in its parent: under a name, or at an index.
type key struct {
	name    []byte
	index   int
	element bool // the index counts
}

func (s selector) takes(k key) bool {
	switch s.kind {
	case byName:
		return !k.element && s.name == string(k.name)
	case byIndex:
		return k.element && s.index == k.index
	}
	return true
}

// parsePath reads the grammar that the package comment states.
func parsePath(text string) (path, error) {
	// Done needs these two for itself; a valid path has them in quotes only.
	p := path{text: strings.NewReplacer(",", `\u002c`, ";", `\u003b`).Replace(text)}
	rest, rooted := strings.CutPrefix(text, "$")
	switch {
	case !rooted:
		return p, errors.New("does not begin with $")
	case rest == "":
		return p, errors.New("is the whole event")
	}
	for rest != "" {
		s, left, err := parseSegment(rest)
		if err != nil {
			return p, err
		}
		p.segments = append(p.segments, s)
		rest = left
	}
	return p, nil
}

// parseSegment reads a segment from the beginning of text, which is not empty.
func parseSegment(text string) (s segment, rest string, err error) {
	rest, s.descendant = strings.CutPrefix(text, "..")
	dotted := s.descendant
	if !dotted {
		rest, dotted = strings.CutPrefix(text, ".")
	}
	inBrackets := strings.HasPrefix(rest, "[")
	switch {
	case inBrackets && (s.descendant || !dotted):
		s.selector, rest, err = parseBrackets(rest[1:])
	case !dotted || inBrackets:
		err = fmt.Errorf("wants a dot or a bracket at %q", text)
	case strings.HasPrefix(rest, "*"):
		s.kind, rest = wildcard, rest[1:]
	default:
		s.selector, rest, err = parseShorthand(rest)
	}
	return s, rest, err
}

// parseShorthand reads member-name-shorthand (RFC 9535, section 2.5.1.1).
func parseShorthand(text string) (selector, string, error) {
	end := 0
	for end < len(text) {
		r, size := utf8.DecodeRuneInString(text[end:])
		if r == utf8.RuneError && size == 1 || !nameChar(r) || end == 0 && '0' <= r && r <= '9' {
			break
		}
		end += size
	}
	if end == 0 {
		return selector{}, "", fmt.Errorf("wants a name at %q; one of other characters stands in brackets, as in $['odd name']", text)
	}
	return selector{kind: byName, name: text[:end]}, text[end:], nil
}

func nameChar(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '_' || r >= utf8.RuneSelf
}

// parseBrackets reads one selector, and the bracket behind it.
func parseBrackets(text string) (s selector, rest string, err error) {
	switch {
	case strings.HasPrefix(text, "*"):
		s.kind, rest = wildcard, text[1:]
	case strings.HasPrefix(text, "'"), strings.HasPrefix(text, `"`):
		s.name, rest, err = parseQuoted(text)
	default:
		s, rest, err = parseIndex(text)
	}
	if err != nil {
		return s, rest, err
	}
	rest, closed := strings.CutPrefix(rest, "]")
	if !closed {
		return s, rest, errors.New("wants one name, index or * in a bracket, and ] behind it")
	}
	return s, rest, nil
}

var errSelector = errors.New("wants a quoted name, an index from 0 on or * in brackets")

func parseIndex(text string) (selector, string, error) {
	end := 0
	for end < len(text) && '0' <= text[end] && text[end] <= '9' {
		end++
	}
	index, err := strconv.ParseUint(text[:end], 10, 31)
	if err != nil || end > 1 && text[0] == '0' {
		return selector{}, "", errSelector
	}
	return selector{kind: byIndex, index: int(index)}, text[end:], nil
}

// parseQuoted reads a string-literal (RFC 9535, section 2.3.1.1). But for its
// quotes it is a string of JSON.
func parseQuoted(text string) (name, rest string, err error) {
	quote := text[0]
	literal := []byte{'"'}
	for i := 1; i < len(text); i++ {
		switch c := text[i]; {
		case c == quote:
			unquoted, err := jsontext.AppendUnquote(nil, append(literal, '"'))
			if err != nil {
				return "", "", errors.New("holds a quoted name that is no string")
			}
			return string(unquoted), text[i+1:], nil
		case c == '\\' && i+1 < len(text):
			i++
			if text[i] == '"' && quote == '\'' || text[i] == '\'' && quote == '"' {
				return "", "", errors.New("escapes a quote that needs none")
			}
			if text[i] != '\'' {
				literal = append(literal, c)
			}
			literal = append(literal, text[i])
		case c == '"':
			literal = append(literal, '\\', c)
		default:
			literal = append(literal, c)
		}
	}
	return "", "", errors.New("has a quote without an end")
}

// state is how far a path has come on the way from the root to a value.
type state struct{ rule, at int }

// advance appends to into what the states of a value become for its child at k,
// each once, and calls hit for each rule whose path ends there.
func advance(rules []rule, states []state, k key, into []state, hit func(rule int)) []state {
	first := len(into)
	add := func(s state) {
		if !slices.Contains(into[first:], s) {
			into = append(into, s)
		}
	}
	for _, s := range states {
		segment := rules[s.rule].segments[s.at]
		if segment.descendant {
			add(s)
		}
		if !segment.takes(k) {
			continue
		}
		if s.at+1 == len(rules[s.rule].segments) {
			hit(s.rule)
		} else {
			add(state{s.rule, s.at + 1})
		}
	}
	return into
}

// anyChild as a member's name stands for every member and every element.
const anyChild = "*"

// follow returns whether the path can end at the member that names lead to, and
// whether it can end there or at something that holds it.
func (p path) follow(names ...string) (at, atOrAbove bool) {
	open := map[int]bool{0: true} // segments that may come next
	for _, name := range names {
		next := map[int]bool{}
		at = false
		for i := range open {
			s := p.segments[i]
			if s.descendant {
				next[i] = true
			}
			if name != anyChild && !s.takes(key{name: []byte(name)}) {
				continue
			}
			if i+1 == len(p.segments) {
				at, atOrAbove = true, true
			} else {
				next[i+1] = true
			}
		}
		open = next
	}
	return at, atOrAbove
}

// covers reports whether the path can end at a member or at something that holds it.
func (p path) covers(names ...string) bool {
	_, covers := p.follow(names...)
	return covers
}
