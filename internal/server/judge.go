package server

import (
	"bytes"
	"cmp"
	"net/netip"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"
)

// judge is what can be said of a request by its header alone: the framing of
// its body, and the refusal, if it is to be refused.
func (s *Server) judge(header *fasthttp.RequestHeader) (framing, *problem) {
	f, ok := readFraming(header.RawHeaders())
	if !ok {
		return f, errFraming
	}
	switch {
	case f.lines > s.opts.Limits.MaxHeaders:
		return f, errHeaders
	case !bytes.HasPrefix(header.Protocol(), []byte("HTTP/1.")):
		return f, errSyntax
	case s.hookAt(header.RequestURI()) == nil:
		return f, errPath
	case !header.IsPost():
		return f, errMethod
	case f.content == otherContent, f.content == gzipped && !s.opts.Limits.AcceptGzip:
		return f, errEncoding
	case f.length > int64(s.opts.Limits.MaxBodyBytes):
		return f, errTooLarge
	}
	return f, nil
}

// hookAt returns the webhook that posts to a request target, nil for none. The
// path is compared as it was sent: one that only becomes ours by decoding or
// cleaning is not ours.
func (s *Server) hookAt(target []byte) *hook {
	path, _, _ := bytes.Cut(target, []byte("?"))
	for _, scheme := range []string{"http://", "https://"} { // RFC 9112, section 3.2.2
		if rest, absolute := bytes.CutPrefix(path, []byte(scheme)); absolute {
			slash := bytes.IndexByte(rest, '/')
			if slash < 0 {
				return nil
			}
			path = rest[slash:]
			break
		}
	}
	name, ours := bytes.CutPrefix(path, []byte(Path))
	switch {
	case !ours, len(name) == 1:
		return nil
	case len(name) == 0:
		return s.hooks[""]
	case name[0] != '/':
		return nil
	}
	return s.hooks[string(name[1:])]
}

// preview is called as soon as the header is there. Of a request that judge
// refuses, no byte of the body is waited for. Of others fasthttp may read one
// byte ahead of the handler: it would read 8 KiB, which no budget knows of.
func (s *Server) preview(header *fasthttp.RequestHeader) fasthttp.RequestConfig {
	if _, p := s.judge(header); p != nil {
		header.SetContentLength(0)
		header.Del(fiber.HeaderExpect)
	}
	return fasthttp.RequestConfig{MaxRequestBodySize: 1}
}

// judged turns away what judge refuses, and what comes from a wrong address or
// too fast. It stands in front of Fiber, which answers methods that it does not
// know by itself, ahead of every handler.
func (s *Server) judged(next fasthttp.RequestHandler) fasthttp.RequestHandler {
	return func(ctx *fasthttp.RequestCtx) {
		f, p := s.judge(&ctx.Request.Header)
		skipped := !f.hasBody() || p == nil && f.isShort() // by fasthttp; of what judge refuses it sees no body
		if p == nil || !p.hangUp {
			p = cmp.Or(s.judgeSender(ctx), p)
		}
		if p != nil {
			if !skipped {
				ctx.SetConnectionClose()
			}
			s.turnAway(ctx, p)
			return
		}
		next(ctx)
	}
}

// judgeSender is the refusal of a wrong address, or of one that asks too often.
func (s *Server) judgeSender(ctx *fasthttp.RequestCtx) *problem {
	client := s.client(ctx)
	switch {
	case !s.addresses.mayPost(client):
		return errAddress
	case s.addresses.limitable(client) && !s.rates.allow(site(client), s.opts.Now()):
		return errRate
	}
	return nil
}

// client is who a request comes from. Of most peers the forwarding header does not count,
// and is not looked at.
func (s *Server) client(ctx *fasthttp.RequestCtx) netip.Addr {
	peer := plain(peerAddr(ctx))
	if !contains(s.addresses.trusted, peer) {
		return peer
	}
	return s.addresses.client(peer, forwardedFor(ctx))
}

// forwardedFor joins all lines of the header: a proxy may add a line of its own
// behind one that the sender made up.
func forwardedFor(ctx *fasthttp.RequestCtx) string {
	return string(bytes.Join(ctx.Request.Header.PeekAll(fiber.HeaderXForwardedFor), []byte(",")))
}

func peerAddr(ctx *fasthttp.RequestCtx) netip.Addr {
	if c, ok := ctx.Conn().(*conn); ok {
		return c.peer
	}
	peer, _ := netip.ParseAddrPort(ctx.RemoteAddr().String())
	return peer.Addr()
}
