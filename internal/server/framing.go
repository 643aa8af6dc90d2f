package server

import (
	"bytes"
	"strconv"
	"strings"

	"github.com/gofiber/fiber/v2"
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

// isShort says whether the body is read faster than another connection is opened.
func (f framing) isShort() bool { return 0 <= f.length && f.length <= smallBody }

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
	for len(raw) > 0 {
		var line []byte
		if line, raw, ok = cutLine(raw); !ok {
			return f, false
		}
		if len(line) == 0 {
			continue
		}
		colon := bytes.IndexByte(line, ':')
		if colon <= 0 || bytes.IndexByte(line[:colon], ' ') >= 0 || bytes.IndexByte(line[:colon], '\t') >= 0 {
			return f, false // folded, or white space before the colon (section 5.1)
		}
		name, value := line[:colon], line[colon+1:]
		f.lines++
		switch {
		case isName(name, fiber.HeaderContentEncoding):
			if contents++; contents > 1 {
				f.content = otherContent
			} else {
				f.content = readContent(trim(value))
			}
		case isName(name, fiber.HeaderContentLength):
			lengths++
			n, err := strconv.ParseUint(string(trim(value)), 10, 63)
			if err != nil {
				return f, false
			}
			f.length = int64(n)
		case isName(name, fiber.HeaderTransferEncoding):
			codings++
			if !bytes.EqualFold(trim(value), []byte("chunked")) {
				return f, false
			}
			f.length = unknown
		}
	}
	return f, lengths+codings <= 1
}

// cutLine is false where the first line does not end in CRLF, or holds CR or NUL.
func cutLine(raw []byte) (line, rest []byte, ok bool) {
	end := bytes.IndexByte(raw, '\r')
	if end < 0 || end+1 == len(raw) || raw[end+1] != '\n' {
		return nil, nil, false
	}
	line = raw[:end]
	return line, raw[end+2:], bytes.IndexByte(line, '\n') < 0 && bytes.IndexByte(line, 0) < 0
}

// isName compares lengths first: most lines are none that we look for.
func isName(name []byte, want string) bool {
	return len(name) == len(want) && strings.EqualFold(string(name), want)
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
