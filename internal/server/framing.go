package server

import "bytes"

// wellFramed reports whether a request's header lines leave no doubt about
// where it and its body end (RFC 9112, sections 2.2, 5 and 6): every line ends
// in CRLF and is not folded, there is at most one Content-Length, no coding but
// a single chunked, and never both. Where a proxy in front and the server behind
// read such lines differently, one of them takes part of a body for a request.
//
// raw is the header section without the request line. That there is one Host,
// fasthttp sees to.
func wellFramed(raw []byte) bool {
	lengths, codings := 0, 0
	for line := range bytes.Lines(raw) {
		line, terminated := bytes.CutSuffix(line, []byte("\r\n"))
		if !terminated || bytes.ContainsAny(line, "\r\x00") {
			return false
		}
		if len(line) == 0 {
			continue
		}
		name, value, found := bytes.Cut(line, []byte(":"))
		if !found || len(name) == 0 || bytes.ContainsAny(name, " \t") {
			return false // folded, or white space before the colon (section 5.1)
		}
		switch {
		case bytes.EqualFold(name, []byte("Content-Length")):
			lengths++
			if !isDigits(trim(value)) {
				return false
			}
		case bytes.EqualFold(name, []byte("Transfer-Encoding")):
			codings++
			if !bytes.EqualFold(trim(value), []byte("chunked")) {
				return false
			}
		}
	}
	return lengths+codings <= 1
}

func trim(value []byte) []byte { return bytes.Trim(value, " \t") }

func isDigits(b []byte) bool {
	for _, c := range b {
		if c < '0' || c > '9' {
			return false
		}
	}
	return len(b) > 0
}
