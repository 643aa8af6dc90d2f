package event

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

// maxDepth is how deep what is skipped may be nested.
const maxDepth = 64

// scanner walks through JSON. What it passes over without getting lost is valid
// (RFC 8259) and in UTF-8; it gets lost too at what is merely rare: a name with an
// escape, a pair of surrogates, deep nesting. Once lost, it stays so, every answer
// is zero, and there is no next member or element.
type scanner struct {
	text []byte
	at   int // the next byte
	lost bool
}

// peek passes over white space and returns the byte behind it; 0: none.
func (s *scanner) peek() byte {
	for ; s.at < len(s.text); s.at++ {
		switch c := s.text[s.at]; c {
		case ' ', '\t', '\r', '\n':
		default:
			if s.lost {
				return 0
			}
			return c
		}
	}
	return 0
}

// expect passes over c.
func (s *scanner) expect(c byte) {
	if s.peek() != c {
		s.lost = true
		return
	}
	s.at++
}

// literal passes over a word.
func (s *scanner) literal(word string) {
	if end := s.at + len(word); end <= len(s.text) && string(s.text[s.at:end]) == word {
		s.at = end
		return
	}
	s.lost = true
}

// more passes over what stands before the next member or element, or over the
// end: then it is false. first: nothing stands before it.
func (s *scanner) more(end byte, first bool) bool {
	switch s.peek() {
	case end:
		s.at++
		return false
	case ',':
		s.lost = s.lost || first
		s.at++
	default:
		s.lost = s.lost || !first
	}
	return !s.lost
}

// member passes over all up to a member's value and returns its name, or passes
// over the end of the object: then it is false.
func (s *scanner) member(first bool) (name []byte, ok bool) {
	if !s.more('}', first) {
		return nil, false
	}
	name = s.verbatim()
	s.expect(':')
	return name, !s.lost
}

// verbatim reads a string in which nothing is escaped.
func (s *scanner) verbatim() []byte {
	text, escaped := s.quoted()
	if escaped {
		s.lost = true
		return nil
	}
	return text
}

// quoted passes over a string and returns what stands between its quotes.
func (s *scanner) quoted() (text []byte, escaped bool) {
	s.expect('"')
	start := s.at
	for !s.lost {
		s.at += plain(s.text[s.at:])
		if s.at == len(s.text) {
			break
		}
		switch c := s.text[s.at]; {
		case c == '"':
			s.at++
			return s.text[start : s.at-1], escaped
		case c == '\\':
			escaped = true
			s.escape()
		default:
			s.rune()
		}
	}
	s.lost = true
	return nil, false
}

// plain is how many bytes there are before the first that is a quote, a backslash,
// a control character or no ASCII.
func plain(text []byte) (n int) {
	for rest := text; len(rest) >= 16; rest, n = rest[16:], n+16 {
		a, b := stops(binary.LittleEndian.Uint64(rest)), stops(binary.LittleEndian.Uint64(rest[8:]))
		if a != 0 {
			return n + bits.TrailingZeros64(a)/8
		}
		if b != 0 {
			return n + 8 + bits.TrailingZeros64(b)/8
		}
	}
	for n < len(text) && ' ' <= text[n] && text[n] < utf8.RuneSelf && text[n] != '"' && text[n] != '\\' {
		n++
	}
	return n
}

// stops sets the high bit of the lowest of eight bytes at which plain ends; those
// above it mean nothing. A byte that is less than what is taken off it borrows into
// its high bit, and maybe from the next.
func stops(w uint64) uint64 {
	const each, high = 0x0101010101010101, 0x8080808080808080
	return (((w ^ '"'*each) - each) | ((w ^ '\\'*each) - each) | (w - ' '*each) | w) & high
}

// rune passes over a character that is no ASCII.
func (s *scanner) rune() {
	_, size := utf8.DecodeRune(s.text[s.at:])
	if size <= 1 { // a control character, or broken
		s.lost = true
		return
	}
	s.at += size
}

// escape passes over a backslash and what belongs to it.
func (s *scanner) escape() {
	rest := s.text[s.at+1:]
	if len(rest) == 0 {
		s.lost = true
		return
	}
	switch rest[0] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		s.at += 2
	case 'u':
		s.lost = !isCharacter(rest[1:min(5, len(rest))])
		s.at += 6
	default:
		s.lost = true
	}
}

// isCharacter reports whether hex is four digits that are a character by themselves.
func isCharacter(hex []byte) bool {
	if len(hex) != 4 {
		return false
	}
	for _, c := range hex {
		if !is(c, hexDigit) {
			return false
		}
	}
	surrogate := (hex[0] == 'd' || hex[0] == 'D') && hex[1] > '7' // the digits 8 to f
	return !surrogate
}

// number passes over a number and returns it.
func (s *scanner) number() []byte {
	start := s.at
	s.pass('-')
	if !s.pass('0') {
		s.digits()
	}
	if s.pass('.') {
		s.digits()
	}
	if s.pass('e') || s.pass('E') {
		_ = s.pass('-') || s.pass('+')
		s.digits()
	}
	if s.lost {
		return nil
	}
	return s.text[start:s.at]
}

// pass passes over c, if it is there.
func (s *scanner) pass(c byte) bool {
	if s.at < len(s.text) && s.text[s.at] == c {
		s.at++
		return true
	}
	return false
}

// digits passes over one digit at least.
func (s *scanner) digits() {
	start := s.at
	for s.at < len(s.text) && '0' <= s.text[s.at] && s.text[s.at] <= '9' {
		s.at++
	}
	s.lost = s.lost || s.at == start
}

// skip passes over a value.
func (s *scanner) skip() { s.skipAt(0) }

func (s *scanner) skipAt(depth int) {
	if depth > maxDepth {
		s.lost = true
		return
	}
	switch s.peek() {
	case '"':
		s.quoted()
	case '{':
		s.at++
		for _, ok := s.member(true); ok; _, ok = s.member(false) {
			s.skipAt(depth + 1)
		}
	case '[':
		s.at++
		for ok := s.more(']', true); ok; ok = s.more(']', false) {
			s.skipAt(depth + 1)
		}
	case 't':
		s.literal("true")
	case 'f':
		s.literal("false")
	case 'n':
		s.literal("null")
	default:
		s.number()
	}
}
