package decrypt

import (
	"bytes"
	"errors"
	"io"

	"github.com/go-json-experiment/json/jsontext"
)

// sealed is a body that has to be opened.
type sealed struct {
	key   []byte // the wrapped AES key in base64; empty: none
	iv    []byte // decoded; nil: it precedes the ciphertext in text
	text  []byte // the ciphertext in base64
	buf   []byte // what text was decoded to last
	fresh bool   // buf still holds that
}

// split decodes text and returns the iv and the ciphertext, whose memory is the
// same at each call. ok is false where the iv has another size.
func (s *sealed) split(ivSize int) (iv, ciphertext []byte, ok bool) {
	if s.iv != nil && len(s.iv) != ivSize {
		return nil, nil, false
	}
	if !s.fresh {
		s.buf, ok = decodeBase64(s.buf, s.text)
		if !ok {
			return nil, nil, false
		}
	}
	s.fresh = false
	switch {
	case s.iv != nil:
		return s.iv, s.buf, true
	case len(s.buf) < ivSize:
		return nil, nil, false
	}
	return s.buf[:ivSize], s.buf[ivSize:], true
}

// whitespace is what JSON (RFC 8259, section 2) allows around a value.
const whitespace = " \t\r\n"

// read tells what kind of body it has. isSealed is false for a JSON object that
// is no envelope.
func read(body []byte) (s sealed, isSealed bool, err error) {
	body = bytes.Trim(body, whitespace)
	switch {
	case len(body) == 0:
		return s, false, ErrDecrypt
	case body[0] != '{':
		return sealed{text: body}, true, nil
	case isOther(body):
		return s, false, nil
	}
	if e, ok := readUsual(body); ok {
		if s, ok := e.decoded(); ok {
			return s, true, nil
		}
	}
	e, err := readEnvelope(body)
	if err != nil || e == nil {
		return s, false, err
	}
	iv, ok := decodeBase64(nil, e.iv)
	if !ok {
		return s, false, ErrDecrypt
	}
	return sealed{key: e.key, iv: iv, text: e.p}, true, nil
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
