package server

import (
	"bytes"
	"compress/gzip"
	"sync"

	"awareid-gateway/internal/decrypt"
)

// payload is a body as it came, with what it takes of the budget of all bodies.
type payload struct {
	body    []byte
	content content
	taken   int64
	budget  *budget    // nil: somebody else gives it back
	spares  *sync.Pool // of payloads whose memory nobody reads any more
}

// close gives back what the body takes of the budget, and its memory, unless it was
// handed over. Nothing may have kept a part of a body that is refused.
func (p *payload) close() {
	if p.budget == nil {
		return
	}
	p.budget.give(p.taken)
	if cap(p.body) <= firstRead {
		*p = payload{body: p.body[:0], spares: p.spares}
		p.spares.Put(p)
	}
}

// handOver leaves that to whoever has the result, to be called once.
func (p *payload) handOver() (release func()) {
	b, taken := p.budget, p.taken
	p.budget = nil
	return func() { b.give(taken) }
}

// readers keep the window of a gzip reader, 32 KiB, from one body to the next.
var readers = sync.Pool{New: func() any { return new(gzip.Reader) }}

// decoded is the body without its content coding; it takes of the budget as the
// body did. Call it when a MAC over the body held, no sooner: a kilobyte can
// become a megabyte. The errors are errTooLarge, errBudget and
// decrypt.ErrDecrypt for a body that is no gzip, or more than that.
func (s *Server) decoded(p *payload) ([]byte, error) {
	if p.content != gzipped {
		return p.body, nil
	}
	plain, err := inflate(p.body, s.opts.Limits.MaxBodyBytes, &s.bodies)
	p.taken += int64(cap(plain))
	return plain, err
}

func inflate(body []byte, limit int, b *budget) ([]byte, error) {
	r := readers.Get().(*gzip.Reader)
	defer func() {
		r.Reset(bytes.NewReader(nil)) // lets go of the body
		readers.Put(r)
	}()
	if r.Reset(bytes.NewReader(body)) != nil {
		return nil, decrypt.ErrDecrypt
	}
	plain, err := readBody(r, nil, unknown, limit, b)
	if err == error(errCut) {
		err = decrypt.ErrDecrypt
	}
	return plain, err
}

// Inflate undoes the content coding of a body from quarantine, where no header
// tells: a gzip member begins with bytes (RFC 1952, section 2.3.1) with which
// neither JSON nor base64 can begin. Another body comes back as it is.
// decrypt.ErrDecrypt says that it is damaged, or has more than limit bytes in it.
func Inflate(body []byte, limit int) ([]byte, error) {
	if !bytes.HasPrefix(body, []byte{0x1f, 0x8b}) {
		return body, nil
	}
	plain, err := inflate(body, limit, &budget{limit: 4 * int64(limit+1)})
	if err != nil {
		return nil, decrypt.ErrDecrypt
	}
	return plain, nil
}
