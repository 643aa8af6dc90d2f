package decrypt

import (
	"bytes"
	"encoding/base64"

	vector "github.com/segmentio/asm/base64"
)

// alphabets are those of RFC 4648, sections 4 and 5. Whole groups of four characters are
// decoded with the processor's vector instructions, in a sixth of the standard library's
// time, and the rest strictly: bits after the end must be zero.
var alphabets = [2]struct {
	groups *vector.Encoding
	rest   *base64.Encoding
}{
	{vector.RawStdEncoding, base64.RawStdEncoding.Strict()},
	{vector.RawURLEncoding, base64.RawURLEncoding.Strict()},
}

// decodedLen is how many bytes a text without line breaks decodes to, if it does.
func decodedLen(text []byte) int { return base64.RawStdEncoding.DecodedLen(len(trimPadding(text))) }

// decodeBase64 decodes text in either alphabet, padded or not, and strictly, so that no
// two texts mean the same bytes. It uses dst for the result and grows it where it is too
// short. Line breaks are skipped.
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

// decodeDigits decodes text, in which a line break is an error, into dst, which has
// decodedLen bytes at least. It is decodeBase64 otherwise.
func decodeDigits(dst, text []byte) (n int, ok bool) {
	text = trimPadding(text)
	whole, size := len(text)&^3, decodedLen(text)
	for _, a := range alphabets {
		n, err := a.groups.Decode(dst[:size], text[:whole])
		if err != nil || n != whole/4*3 { // both skip line breaks
			continue
		}
		rest, err := a.rest.Decode(dst[n:size], text[whole:])
		if err == nil && n+rest == size {
			return size, true
		}
	}
	return 0, false
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
