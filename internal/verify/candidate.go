package verify

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
)

// maxCandidates bounds how many values of one request are compared with a MAC.
const maxCandidates = 8

// shortest is the length of a MAC's shortest text: SHA-256 in unpadded base64.
const shortest = 43

// The encodings of a signature, as [Match] names them.
const (
	Hex       = "hex"
	Base64    = "base64"
	Base64URL = "base64url"
)

// candidate is a header value that could be a MAC, going by its length.
type candidate struct {
	header   []byte // its name as received
	expected bool   // it is in the header that matched last
	encoding string // "" for base64 that reads the same in both alphabets
	size     int
	bytes    [sha512.Size]byte
}

// reader collects a request's candidates. visit is its method header, bound
// once, because binding it allocates.
type reader struct {
	only       string // the one header to look at; "" for any
	expect     string // the header that matched last; its values are never crowded out
	candidates []candidate
	visit      func(name, value []byte) bool
}

func newReader() reader {
	return reader{candidates: make([]candidate, 0, maxCandidates)}
}

// read replaces the candidates by those of h.
func (r *reader) read(h Headers, only, expect string) {
	r.only, r.expect, r.candidates = only, expect, r.candidates[:0]
	h(r.visit)
}

// header takes the candidates in one header. Values are separated by spaces
// and commas. It always returns true, to see the next header.
func (r *reader) header(name, value []byte) bool {
	if r.only != "" && !equalFold(name, r.only) {
		return true
	}
	expected := r.expect != "" && equalFold(name, r.expect)
	for len(value) >= shortest {
		end := 0
		for end < len(value) && value[end] != ' ' && value[end] != ',' && value[end] != '\t' {
			end++
		}
		r.add(name, value[:end], expected)
		value = value[min(end+1, len(value)):]
	}
	return true
}

func (r *reader) add(name, value []byte, expected bool) {
	c := candidate{expected: expected}
	if !c.decode(trimPrefix(value)) {
		return
	}
	slot := r.slot(expected)
	if slot == nil {
		return
	}
	c.header = append(slot.header[:0], name...)
	*slot = c
}

// slot returns where to put a candidate, nil where there is no room for it.
func (r *reader) slot(expected bool) *candidate {
	if n := len(r.candidates); n < maxCandidates {
		r.candidates = r.candidates[:n+1]
		return &r.candidates[n]
	}
	for i := range r.candidates {
		if c := &r.candidates[i]; expected && !c.expected {
			return c
		}
	}
	return nil
}

// find returns a candidate that equals mac, one in the expected header before
// others. Every comparison takes constant time.
func (r *reader) find(mac []byte) (found *candidate) {
	for i := range r.candidates {
		c := &r.candidates[i]
		if !hmac.Equal(c.bytes[:c.size], mac) {
			continue
		}
		if found == nil || c.expected && !found.expected {
			found = c
		}
	}
	return found
}

// has reports whether any candidate is as long as a MAC of size bytes.
func (r *reader) has(size int) bool {
	for i := range r.candidates {
		if r.candidates[i].size == size {
			return true
		}
	}
	return false
}

// decode reads value strictly as hex, base64 or base64url of a MAC. The
// lengths of these texts are all different, so none can be taken for another.
func (c *candidate) decode(value []byte) bool {
	for _, size := range []int{sha256.Size, sha512.Size} {
		c.size = size
		if len(value) == hex.EncodedLen(size) {
			c.encoding = Hex
			_, err := hex.Decode(c.bytes[:], value)
			return err == nil
		}
		if _, ok := decodeBase64(c.bytes[:size], value); ok {
			c.encoding = alphabet(value)
			return true
		}
	}
	return false
}

// alphabet tells base64 from base64url where the value shows it.
func alphabet(value []byte) string {
	switch {
	case bytes.ContainsAny(value, "+/"):
		return Base64
	case bytes.ContainsAny(value, "-_"):
		return Base64URL
	}
	return ""
}

// trimPrefix cuts one of the prefixes that name a hash or a version. (The
// prefix "v1," is a value of its own by the time values are looked at.)
func trimPrefix(value []byte) []byte {
	for _, prefix := range []string{"sha256=", "sha512=", "v1="} {
		if len(value) > len(prefix) && equalFold(value[:len(prefix)], prefix) {
			return value[len(prefix):]
		}
	}
	return value
}

func equalFold(b []byte, s string) bool {
	return len(b) == len(s) && bytes.EqualFold(b, []byte(s))
}
