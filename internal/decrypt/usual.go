package decrypt

import "bytes"

// The usual envelope is read here, many times as fast as JSON of any form. What
// this file does not recognize says nothing: readEnvelope decides. What it does
// recognize, readEnvelope reads alike.

// isOther recognizes an object that is no envelope by its first name.
func isOther(body []byte) bool {
	c := cursor{rest: body}
	if !c.skip('{') || !c.skip('"') {
		return false
	}
	end := bytes.IndexByte(c.rest, '"')
	if end < 0 || bytes.IndexByte(c.rest[:end], '\\') >= 0 {
		return false
	}
	return new(envelope).member(string(c.rest[:end])) == nil
}

// readUsual reads an object of the strings iv and p, one of each and in any order.
// Which characters the strings hold it leaves to decoded.
func readUsual(body []byte) (e envelope, ok bool) {
	c := cursor{rest: body}
	for _, before := range []byte("{,") {
		if !c.skip(before) {
			return e, false
		}
		name, ok := c.quoted()
		if !ok || !c.skip(':') {
			return e, false
		}
		value := e.member(string(name))
		if value == nil || *value != nil || value == &e.key {
			return e, false
		}
		if *value, ok = c.quoted(); !ok {
			return e, false
		}
	}
	return e, c.skip('}') && len(c.rest) == 0
}

// decoded decodes iv and p into memory of their own, one piece. That both are
// base64 without line breaks shows that they are strings of JSON without escapes.
func (e envelope) decoded() (s sealed, ok bool) {
	n := decodedLen(e.p)
	memory := make([]byte, n+decodedLen(e.iv))
	if _, ok := decodeDigits(memory[:n:n], e.p); !ok {
		return s, false
	}
	size, ok := decodeDigits(memory[n:], e.iv)
	return sealed{iv: memory[n : n+size], text: e.p, buf: memory[:n:n], fresh: true}, ok
}

// cursor is what is left of a text.
type cursor struct{ rest []byte }

// skip passes over white space and then c.
func (c *cursor) skip(want byte) bool {
	for i, b := range c.rest {
		switch b {
		case ' ', '\t', '\r', '\n':
			continue
		case want:
			c.rest = c.rest[i+1:]
			return true
		}
		break
	}
	return false
}

// quoted returns what stands before the next quote but one.
func (c *cursor) quoted() ([]byte, bool) {
	if !c.skip('"') {
		return nil, false
	}
	end := bytes.IndexByte(c.rest, '"')
	if end < 0 {
		return nil, false
	}
	text := c.rest[:end]
	c.rest = c.rest[end+1:]
	return text, true
}
