package server

import (
	"bytes"
	"strconv"
)

// framing is how many header lines there are, and what they say about the body.
type framing struct {
	length  int64 // in bytes; unknown for a chunked one
	content content
	lines   int
}

// unknown is the length of a chunked body.
const unknown = -1

func (f framing) hasBody() bool { return f.length != 0 }

// readFraming is false where a request's header lines leave doubt about where
// it and its body end (RFC 9112, sections 2.2, 5 and 6): every line ends in
// CRLF and is not folded, there is at most one Content-Length, no coding but a
// single chunked, and never both. Where a proxy in front and the server behind
// read such lines differently, one of them takes part of a body for a request.
//
// raw is the header section without the request line. That there is one Host,
// fasthttp sees to.
func readFraming(raw []byte) (f framing, ok bool) {
	lengths, codings, contents := 0, 0, 0
	for line := range bytes.Lines(raw) {
		line, terminated := bytes.CutSuffix(line, []byte("\r\n"))
		if !terminated || bytes.ContainsAny(line, "\r\x00") {
			return f, false
		}
		if len(line) == 0 {
			continue
		}
		name, value, found := bytes.Cut(line, []byte(":"))
		if !found || len(name) == 0 || bytes.ContainsAny(name, " \t") {
			return f, false // folded, or white space before the colon (section 5.1)
		}
		f.lines++
		switch {
		case bytes.EqualFold(name, []byte("Content-Encoding")):
			if contents++; contents > 1 {
				f.content = otherContent
			} else {
				f.content = readContent(trim(value))
			}
		case bytes.EqualFold(name, []byte("Content-Length")):
			lengths++
			n, err := strconv.ParseUint(string(trim(value)), 10, 63)
			if err != nil {
				return f, false
			}
			f.length = int64(n)
		case bytes.EqualFold(name, []byte("Transfer-Encoding")):
			codings++
			if !bytes.EqualFold(trim(value), []byte("chunked")) {
				return f, false
			}
			f.length = unknown
		}
	}
	return f, lengths+codings <= 1
}

// content is the coding of a body (RFC 9110, section 8.4).
type content int

// The codings that matter. More than one line or element is another one: the
// codings of a list are applied one over the other.
const (
	identity content = iota
	gzipped
	otherContent
)

func readContent(value []byte) content {
	switch {
	case len(value) == 0, bytes.EqualFold(value, []byte("identity")):
		return identity
	case bytes.EqualFold(value, []byte("gzip")):
		return gzipped
	}
	return otherContent
}

func trim(value []byte) []byte { return bytes.Trim(value, " \t") }
