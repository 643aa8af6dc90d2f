package decrypt

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
)

// What an entry of digits says above the 24 bits that four digits make.
const (
	inStd   = 1 << 29 // '+' and '/'
	inURL   = 1 << 30 // '-' and '_'
	noDigit = 1 << 31
	bits24  = 1<<24 - 1
)

// digits holds what a character adds to a group of four, by its place in it. It
// knows both alphabets (RFC 4648, sections 4 and 5), so that one pass will do.
var digits = newDigits()

func newDigits() (places [4][256]uint32) {
	for place := range places {
		for c := range places[place] {
			places[place][c] = noDigit
		}
		set := func(alphabet string, first uint32, flag uint32) {
			for i, c := range []byte(alphabet) {
				places[place][c] = (first+uint32(i))<<(18-6*place) | flag // #nosec G115 -- i < 64
			}
		}
		set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789", 0, 0)
		set("+/", 62, inStd)
		set("-_", 62, inURL)
	}
	return places
}

// decodedLen is how many bytes text decodes to at most.
func decodedLen(text []byte) int { return base64.RawStdEncoding.DecodedLen(len(text)) }

// decodeBase64 decodes text in either alphabet, padded or not, and strictly: bits
// after the end must be zero, so that no two texts mean the same bytes. It uses dst
// for the result and grows it where it is too short. Line breaks are skipped.
func decodeBase64(dst, text []byte) ([]byte, bool) {
	if bytes.IndexByte(text, '\n') >= 0 || bytes.IndexByte(text, '\r') >= 0 {
		text = bytes.Join(bytes.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == '\r' }), nil)
	}
	if n := decodedLen(text); cap(dst) < n || dst == nil {
		dst = make([]byte, n)
	}
	n, ok := decodeDigits(dst[:cap(dst)], text)
	return dst[:n], ok
}

// decodeDigits decodes text without line breaks into dst, which has decodedLen
// bytes at least. It is decodeBase64 otherwise, and twice as fast as the standard
// library: what a group holds is found out behind the last of them, not for each.
func decodeDigits(dst, text []byte) (n int, ok bool) {
	text = trimPadding(text)
	var seen uint32
	for len(text) >= 8 && len(dst)-n >= 8 {
		high, low := group(text[:4]), group(text[4:8])
		seen |= high | low
		binary.BigEndian.PutUint64(dst[n:], uint64(high)<<40|uint64(low&bits24)<<16)
		text, n = text[8:], n+6
	}
	for len(text) >= 4 {
		g := group(text[:4])
		seen |= g
		n += put(dst[n:n+3], g)
		text = text[4:]
	}
	if len(text) > 0 {
		last := append(make([]byte, 0, 4), "AAAA"...)
		size := copy(last, text) * 6 / 8
		g := group(last)
		if size == 0 || g<<(8+8*size) != 0 {
			return n, false
		}
		seen |= g
		n += put(dst[n:n+size], g)
	}
	return n, seen&noDigit == 0 && seen&(inStd|inURL) != inStd|inURL
}

func group(text []byte) uint32 {
	_ = text[3]
	return digits[0][text[0]] | digits[1][text[1]] | digits[2][text[2]] | digits[3][text[3]]
}

// put writes the first bytes of a group, as many as dst has room for.
func put(dst []byte, group uint32) int {
	for i := range dst {
		dst[i] = byte(group >> (16 - 8*i)) // #nosec G115 -- one byte is meant
	}
	return len(dst)
}

// trimPadding cuts the padding that a text of whole groups may end with.
func trimPadding(text []byte) []byte {
	if n := len(text); n > 0 && n%4 == 0 && text[n-1] == '=' {
		text = text[:n-1]
		if text[n-2] == '=' {
			text = text[:n-2]
		}
	}
	return text
}
