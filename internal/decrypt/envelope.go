package decrypt

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io"

	"github.com/go-json-experiment/json/jsontext"
)

// sealed is a body that has to be opened.
type sealed struct {
	key  []byte // the wrapped AES key in base64; empty: none
	iv   []byte // decoded; nil: it precedes the ciphertext in text
	text []byte // the ciphertext in base64
	buf  []byte // what text was decoded to last
}

// split decodes text and returns the iv and the ciphertext, whose memory is the
// same at each call. ok is false where the iv has another size.
func (s *sealed) split(ivSize int) (iv, ciphertext []byte, ok bool) {
	if s.iv != nil && len(s.iv) != ivSize {
		return nil, nil, false
	}
	b, ok := decodeBase64(s.buf, s.text)
	s.buf = b
	switch {
	case !ok:
		return nil, nil, false
	case s.iv != nil:
		return s.iv, b, true
	case len(b) < ivSize:
		return nil, nil, false
	}
	return b[:ivSize], b[ivSize:], true
}

// whitespace is what JSON (RFC 8259, section 2) allows around a value.
const whitespace = " \t\r\n"

// read tells what kind of body it has. It returns nil for a JSON object that is
// no envelope.
func read(body []byte) (*sealed, error) {
	body = bytes.Trim(body, whitespace)
	if len(body) == 0 {
		return nil, ErrDecrypt
	}
	if body[0] != '{' {
		return &sealed{text: body}, nil
	}
	e, err := readEnvelope(body)
	if err != nil || e == nil {
		return nil, err
	}
	iv, ok := decodeBase64(nil, e.iv)
	if !ok {
		return nil, ErrDecrypt
	}
	return &sealed{key: e.key, iv: iv, text: e.p}, nil
}

// envelope holds the members of an envelope, unescaped; nil: absent.
type envelope struct{ key, iv, p []byte }

// member returns where the value of the member called name is kept, nil for a
// name that no envelope has.
func (e *envelope) member(name string) *[]byte {
	switch name {
	case "key":
		return &e.key
	case "iv":
		return &e.iv
	case "p":
		return &e.p
	}
	return nil
}

// IsEnvelope reports whether a body has the form of an envelope, whether or not any
// key opens it.
func IsEnvelope(body []byte) bool {
	e, err := readEnvelope(bytes.Trim(body, whitespace))
	return e != nil && err == nil
}

// readEnvelope reads an object up to the first member that shows it to be none,
// and returns nil then. What has only members of an envelope, but one of them
// twice or of the wrong type, or stops being JSON, is ErrDecrypt.
func readEnvelope(body []byte) (*envelope, error) {
	dec := jsontext.NewDecoder(bytes.NewBuffer(body), jsontext.AllowDuplicateNames(true))
	if _, err := dec.ReadToken(); err != nil {
		return nil, nil
	}
	var e envelope
	members, malformed := 0, false
	for dec.PeekKind() == jsontext.KindString {
		name, err := dec.ReadToken()
		if err != nil {
			break
		}
		value := e.member(name.String())
		if value == nil {
			return nil, nil
		}
		members++
		text, ok := readString(dec, body, value == &e.key)
		malformed = malformed || !ok || *value != nil
		*value = text
	}
	switch {
	case members == 0:
		return nil, nil
	case malformed || !atEnd(dec):
		return nil, ErrDecrypt
	case e.iv == nil || e.p == nil:
		return nil, nil
	}
	return &e, nil
}

// atEnd reports whether nothing follows but the end of the object.
func atEnd(dec *jsontext.Decoder) bool {
	if _, err := dec.ReadToken(); err != nil {
		return false
	}
	_, err := dec.ReadToken()
	return errors.Is(err, io.EOF)
}

// readString reads a string and returns it unescaped, in body's memory where
// nothing was escaped. It is never nil, so that presence shows. A value that is
// no string is skipped.
func readString(dec *jsontext.Decoder, body []byte, nullable bool) (text []byte, ok bool) {
	switch dec.PeekKind() {
	case jsontext.KindString:
	case jsontext.KindNull:
		return []byte{}, dec.SkipValue() == nil && nullable
	default:
		_ = dec.SkipValue() // its error comes back at the next read
		return []byte{}, false
	}
	value, err := dec.ReadValue()
	if err != nil {
		return []byte{}, false
	}
	// The decoder lends value until its next read; its place in body stays.
	end := dec.InputOffset()
	quoted := body[end-int64(len(value)) : end]
	if bytes.IndexByte(quoted, '\\') < 0 {
		return quoted[1 : len(quoted)-1 : len(quoted)-1], true
	}
	text, err = jsontext.AppendUnquote(make([]byte, 0, len(quoted)), quoted)
	return text, err == nil
}

// The strict forms of base64 (RFC 4648): bits after the end must be zero, so
// that no two texts mean the same bytes.
var (
	stdBase64    = base64.StdEncoding.Strict()
	urlBase64    = base64.URLEncoding.Strict()
	rawStdBase64 = base64.RawStdEncoding.Strict()
	rawURLBase64 = base64.RawURLEncoding.Strict()
)

// decodeBase64 decodes text in either alphabet, padded or not. It uses dst for
// the result and grows it where it is too short. Line breaks are skipped.
func decodeBase64(dst, text []byte) ([]byte, bool) {
	if n := rawStdBase64.DecodedLen(len(text)); cap(dst) < n || dst == nil {
		dst = make([]byte, n)
	}
	std, url := rawStdBase64, rawURLBase64
	if bytes.HasSuffix(bytes.TrimRight(text, "\r\n"), []byte("=")) {
		std, url = stdBase64, urlBase64
	}
	for _, encoding := range []*base64.Encoding{std, url} {
		if n, err := encoding.Decode(dst[:cap(dst)], text); err == nil {
			return dst[:n], true
		}
	}
	return dst, false
}
