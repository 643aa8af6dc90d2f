package server

import (
	"errors"
	"net/netip"
	"runtime/debug"
	"strconv"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"
)

// guard keeps a panic to its request.
func (s *Server) guard(c *fiber.Ctx) (err error) {
	defer func() {
		if r := recover(); r != nil {
			s.opts.Log.Error("a request made the gateway panic", "stack", string(debug.Stack()))
			err = errInternal
		}
	}()
	return c.Next()
}

// refuseUnread answers what fasthttp could not read a request in. Its own words
// quote what came, and Fiber looks for the word "timeout" in them.
func (s *Server) refuseUnread(ctx *fasthttp.RequestCtx, err error) {
	p := errSyntax
	switch {
	case errors.As(err, new(*fasthttp.ErrSmallBuffer)):
		p = errHeaderSize
	case isTimeout(err):
		p = errSlow
	}
	s.count(p)
	if s.audit.admits(p) {
		s.audit.write(p, "", peerAddr(ctx)) // of the header, only a part may be there
	}
	p.write(ctx)
}

// refuse answers whatever a handler or Fiber refuses.
func (s *Server) refuse(c *fiber.Ctx, err error) error {
	s.turnAway(c.Context(), asProblem(err))
	return nil
}

// turnAway answers with a refusal. Where places are short, it does not keep its
// place. Then others have their turn: one connection may carry hundreds of requests
// in one read, and whoever waits for its answer would wait for all of them.
func (s *Server) turnAway(ctx *fasthttp.RequestCtx, p *problem) {
	defer giveWay(ctx.Conn())
	if s.listener.crowded() {
		ctx.SetConnectionClose()
	}
	s.count(p)
	if s.audit.admits(p) {
		webhook := ""
		if h := s.hookAt(ctx.Request.Header.RequestURI()); h != nil {
			webhook = h.ID
		}
		s.audit.write(p, webhook, s.client(ctx))
	}
	p.write(ctx)
}

func (s *Server) count(p *problem) {
	s.metrics.refusals.WithLabelValues(p.cause).Inc()
	s.metrics.answers.WithLabelValues(strconv.Itoa(p.status)).Inc()
}

// refuseConnection notes a connection that is closed at accept.
func (s *Server) refuseConnection(p *problem, peer netip.Addr) {
	s.metrics.refusals.WithLabelValues(p.cause).Inc()
	if s.audit.admits(p) {
		s.audit.write(p, "", plain(peer))
	}
}
