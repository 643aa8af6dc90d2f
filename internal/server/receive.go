package server

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/netip"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"awareid-gateway/internal/decrypt"
	"awareid-gateway/internal/dispatch"
	"awareid-gateway/internal/event"
	"awareid-gateway/internal/verify"
)

// judge is what can be said of a request by its header alone: the framing of
// its body, and the refusal, if it is to be refused.
func (s *Server) judge(header *fasthttp.RequestHeader) (framing, *problem) {
	f, ok := readFraming(header.RawHeaders())
	if !ok {
		return f, errFraming
	}
	coding := header.ContentEncoding()
	switch {
	case !bytes.HasPrefix(header.Protocol(), []byte("HTTP/1.")):
		return f, errSyntax
	case s.hookAt(header.RequestURI()) == nil:
		return f, errPath
	case !header.IsPost():
		return f, errMethod
	case len(coding) > 0 && !bytes.EqualFold(coding, []byte("identity")):
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
	path, _, _ := strings.Cut(string(target), "?")
	if rest, absolute := strings.CutPrefix(path, "http://"); absolute { // RFC 9112, section 3.2.2
		_, path, _ = strings.Cut(rest, "/")
		path = "/" + path
	}
	name, ours := strings.CutPrefix(path, Path)
	if !ours {
		return nil
	}
	if named, ok := strings.CutPrefix(name, "/"); ok && named != "" {
		return s.hooks[named]
	}
	if name != "" {
		return nil
	}
	return s.hooks[""]
}

// preview is called as soon as the header is there. Of a request that judge
// refuses, no byte of the body is waited for.
func (s *Server) preview(header *fasthttp.RequestHeader) (unchanged fasthttp.RequestConfig) {
	if _, p := s.judge(header); p != nil {
		header.SetContentLength(0)
		header.Del(fiber.HeaderExpect)
	}
	return unchanged
}

// judged turns away what judge refuses, and what comes from a wrong address or
// too fast. It stands in front of Fiber, which answers methods that it does not
// know by itself, ahead of every handler.
func (s *Server) judged(next fasthttp.RequestHandler) fasthttp.RequestHandler {
	return func(ctx *fasthttp.RequestCtx) {
		f, p := s.judge(&ctx.Request.Header)
		if p != nil && f.hasBody() {
			ctx.SetConnectionClose() // its body was not read
		}
		if p == nil || !p.hangUp {
			p = cmp.Or(s.judgeSender(ctx), p)
		}
		if p != nil {
			s.turnAway(ctx, p)
			return
		}
		next(ctx)
	}
}

// judgeSender is the refusal of a wrong address, or of one that asks too often.
func (s *Server) judgeSender(ctx *fasthttp.RequestCtx) *problem {
	client := s.addresses.client(peerAddr(ctx), forwardedFor(ctx))
	switch {
	case !s.addresses.mayPost(client):
		return errAddress
	case s.addresses.limitable(client) && !s.rates.allow(site(client), s.opts.Now()):
		return errRate
	}
	return nil
}

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

// forwardedFor joins all lines of the header: a proxy may add a line of its own
// behind one that the sender made up.
func forwardedFor(ctx *fasthttp.RequestCtx) string {
	return string(bytes.Join(ctx.Request.Header.PeekAll(fiber.HeaderXForwardedFor), []byte(",")))
}

func peerAddr(ctx *fasthttp.RequestCtx) netip.Addr {
	peer, _ := netip.ParseAddrPort(ctx.RemoteAddr().String())
	return peer.Addr()
}

// refuse answers whatever a handler, Fiber or fasthttp refuses.
func (s *Server) refuse(c *fiber.Ctx, err error) error {
	s.turnAway(c.Context(), asProblem(err))
	return nil
}

// turnAway answers with a refusal. Where places are short, it does not keep its
// place. Then others have their turn: one connection may carry hundreds of requests
// in one read, and whoever waits for its answer would wait for all of them.
func (s *Server) turnAway(ctx *fasthttp.RequestCtx, p *problem) {
	defer runtime.Gosched()
	if s.listener.crowded() {
		ctx.SetConnectionClose()
	}
	s.metrics.refusals.WithLabelValues(p.cause).Inc()
	s.metrics.answers.WithLabelValues(strconv.Itoa(p.status)).Inc()
	p.write(ctx)
}

// receive is the way of one callback.
func (s *Server) receive(c *fiber.Ctx) error {
	received := s.opts.Now()
	h := s.hookAt(c.Request().Header.RequestURI())
	body, err := s.body(c)
	if err != nil {
		return err
	}
	ours := true // the body; later the dispatcher's
	release := func() { s.bodies.give(int64(cap(body))) }
	defer func() {
		if ours {
			release()
		}
	}()
	read := time.Now()
	opened, err := s.authenticate(c, h, body)
	if refused := (*problem)(nil); errors.As(err, &refused) {
		return refused
	}
	e, reason := s.read(opened, err, received)
	ours = false
	ctx, cancel := context.WithDeadline(context.Background(), read.Add(s.opts.Limits.RequestTimeout))
	defer cancel()
	if reason != "" {
		return s.quarantine(ctx, c, h, dispatch.Suspect{
			Body: body, WebhookID: h.ID, Reason: reason, ReceivedAt: received, Release: release,
		})
	}
	outcome, err := s.opts.Dispatcher.Dispatch(ctx, dispatch.Inbound{
		Event: e, WebhookID: h.ID, Origin: dispatch.Callback, ReceivedAt: received,
		Traceparent: traceparent(c), Release: release,
	})
	return s.answer(c, h, e, outcome, err, received)
}

func (s *Server) body(c *fiber.Ctx) ([]byte, error) {
	stream := c.Context().RequestBodyStream()
	if stream == nil {
		stream = bytes.NewReader(c.Request().Body())
	}
	announced := c.Request().Header.ContentLength()
	return readBody(stream, announced, s.opts.Limits.MaxBodyBytes, &s.bodies)
}

// judgeBody is authenticate with the keys that are given.
func (s *Server) judgeBody(c *fiber.Ctx, h *hook, k *keys, body []byte) (decrypt.Opened, error) {
	headers := c.Request().Header.All()
	if k.verifier.Authorize(headers) != nil {
		return decrypt.Opened{}, errAuth
	}
	if h.Covers == CoversBody {
		match, err := k.verifier.Verify(headers, body)
		if err != nil {
			return decrypt.Opened{}, unsigned(err)
		}
		if err := s.admit(h, k, match.Secret); err != nil {
			return decrypt.Opened{}, err
		}
		return k.opener.Open(body, match.Secret)
	}
	opened, err := k.opener.OpenAuthenticated(body, k.usable(s.opts.Now()))
	if err != nil {
		return decrypt.Opened{}, errSignature
	}
	if h.Covers == CoversPlaintext {
		if _, err := k.verifier.Verify(headers, opened.Plaintext); err != nil {
			return decrypt.Opened{}, unsigned(err)
		}
	}
	return opened, s.admit(h, k, opened.Secret)
}

func unsigned(err error) error {
	if errors.Is(err, verify.ErrNotSigned) {
		return errUnsigned
	}
	return errSignature
}

// admit counts an authentic request against the webhook's quota, which forged
// ones cannot use up.
func (s *Server) admit(h *hook, k *keys, secret int) error {
	id := k.ids[secret]
	s.metrics.secrets.WithLabelValues(h.ID, strconv.Itoa(secret), id).Inc()
	if _, met := h.met.Load(id); !met {
		if _, met = h.met.LoadOrStore(id, true); !met {
			s.opts.Log.Info("the first callback under this secret since the start", "webhook", h.ID, "secret", secret, "key", id)
		}
	}
	if h.quota != nil && !h.quota.AllowN(s.opts.Now(), 1) {
		return errQuota
	}
	return nil
}

// MaxAhead is how far the platform's clock may be ahead of ours.
const MaxAhead = 5 * time.Minute

// read parses what was opened. The reason is why it belongs in quarantine.
func (s *Server) read(opened decrypt.Opened, openErr error, now time.Time) (event.Event, dispatch.Reason) {
	if openErr != nil {
		return event.Event{}, dispatch.ReasonUndecryptable
	}
	e, err := event.Parse(opened.Plaintext)
	switch {
	case err != nil:
		return e, dispatch.ReasonMalformed
	case e.Created.Before(now.Add(-s.opts.Limits.MaxAge)):
		return e, dispatch.ReasonStale
	case e.Created.After(now.Add(MaxAhead)):
		return e, dispatch.ReasonFuture
	}
	return e, ""
}

func (s *Server) quarantine(ctx context.Context, c *fiber.Ctx, h *hook, suspect dispatch.Suspect) error {
	if err := s.opts.Dispatcher.Quarantine(ctx, suspect); err != nil {
		s.opts.Log.Warn("an authentic body could not be quarantined", "webhook", h.ID, "reason", suspect.Reason, "error", err)
		return unsettled(err)
	}
	return s.quarantined(c, h, suspect.Reason, suspect.ReceivedAt)
}

func (s *Server) quarantined(c *fiber.Ctx, h *hook, reason dispatch.Reason, received time.Time) error {
	s.metrics.quarantined.WithLabelValues(h.ID, string(reason)).Inc()
	s.metrics.took(string(dispatch.Quarantined), received)
	s.opts.Log.Warn("an authentic body is in quarantine", "webhook", h.ID, "reason", reason)
	return s.reply(c, fiber.StatusAccepted, status{Status: string(dispatch.Quarantined)})
}

func (s *Server) answer(c *fiber.Ctx, h *hook, e event.Event, outcome dispatch.Outcome, err error, received time.Time) error {
	if err != nil {
		p := unsettled(err)
		s.metrics.took(p.cause, received)
		s.opts.Log.Warn("an event could not be taken now", "webhook", h.ID, "id", e.ID, "error", err)
		return p
	}
	if outcome == dispatch.Quarantined {
		return s.quarantined(c, h, dispatch.ReasonRefused, received)
	}
	s.metrics.events.WithLabelValues(h.ID, string(e.Family()), string(outcome)).Inc()
	s.metrics.took(string(outcome), received)
	s.opts.Log.Debug("event", "webhook", h.ID, "id", e.ID, "type", e.Type, "outcome", outcome)
	code := fiber.StatusOK
	if outcome == dispatch.Spooled {
		code = fiber.StatusAccepted
	}
	return s.reply(c, code, status{Status: string(outcome), ID: e.ID})
}

type status struct {
	Status string `json:"status"`
	ID     string `json:"id,omitempty"`
}

func (s *Server) reply(c *fiber.Ctx, code int, body status) error {
	encoded, err := json.Marshal(body)
	if err != nil {
		return err
	}
	s.metrics.answers.WithLabelValues(strconv.Itoa(code)).Inc()
	c.Status(code)
	c.Set(fiber.HeaderContentType, fiber.MIMEApplicationJSON)
	return c.Send(encoded)
}

// traceparentBytes is the length of a version 00 traceparent (W3C Trace
// Context, section 3.2).
const traceparentBytes = 55

// traceparent is the sender's trace context, copied, or "".
func traceparent(c *fiber.Ctx) string {
	value := c.Request().Header.Peek("traceparent")
	if len(value) != traceparentBytes {
		return ""
	}
	for i, b := range value {
		hex := '0' <= b && b <= '9' || 'a' <= b && b <= 'f'
		if dash := i == 2 || i == 35 || i == 52; dash != (b == '-') || !dash && !hex {
			return ""
		}
	}
	return string(value)
}
