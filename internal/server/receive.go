package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/gofiber/fiber/v2"

	"awareid-gateway/internal/decrypt"
	"awareid-gateway/internal/dispatch"
	"awareid-gateway/internal/event"
	"awareid-gateway/internal/verify"
)

// receive is the way of one callback.
func (s *Server) receive(c *fiber.Ctx) error {
	received := s.opts.Now()
	h := s.hookAt(c.Request().Header.RequestURI())
	p, err := s.body(c)
	if err != nil {
		return err
	}
	defer p.close()
	if !s.atWork.take(1, 0) {
		return errBusy
	}
	defer s.atWork.give(1)
	read := time.Now()
	opened, err := s.authenticate(c, h, p)
	if refused, ok := err.(*problem); ok {
		return refused
	}
	leaveGate(c.Context().Conn())
	e, reason := s.read(opened, err, received)
	release := p.handOver()
	ctx, cancel := context.WithDeadline(context.Background(), read.Add(s.opts.Limits.RequestTimeout))
	defer cancel()
	if reason != "" {
		return s.quarantine(ctx, c, h, dispatch.Suspect{
			Body: p.body, WebhookID: h.ID, Reason: reason, ReceivedAt: received, Release: release,
			Plaintext: unsealed(opened),
		})
	}
	outcome, err := s.opts.Dispatcher.Dispatch(ctx, dispatch.Inbound{
		Event: e, WebhookID: h.ID, Origin: dispatch.Callback, ReceivedAt: received,
		Traceparent: traceparent(c), Release: release,
	})
	if err == nil && outcome != dispatch.Duplicate { // who has seen a callback can repeat it
		introduce(c.Context().Conn())
	}
	return s.answer(c, h, e, outcome, err, received)
}

// unsealed is what came unencrypted, opened or not; nil for what did not.
func unsealed(opened decrypt.Opened) []byte {
	if opened.Sealed {
		return nil
	}
	return opened.Plaintext
}

func (s *Server) body(c *fiber.Ctx) (*payload, error) {
	stream := c.Context().RequestBodyStream()
	if stream == nil {
		stream = bytes.NewReader(c.Request().Body())
	}
	header := &c.Request().Header
	p := s.spares.Get().(*payload)
	body, err := readBody(stream, p.body, header.ContentLength(), s.opts.Limits.MaxBodyBytes, &s.bodies)
	if err != nil {
		return nil, err
	}
	*p = payload{body: body, taken: int64(cap(body)), budget: &s.bodies, spares: &s.spares}
	if len(header.PeekTrailerKeys()) > 0 { // what judged the header has not seen them
		p.close()
		return nil, errTrailer
	}
	if s.opts.Limits.AcceptGzip {
		p.content = readContent(header.ContentEncoding())
	}
	return p, nil
}

// judgeBody is authenticate with the keys that are given. Of large bodies it takes as
// many at a time as half of the processors can: a MAC is computed without a pause.
func (s *Server) judgeBody(c *fiber.Ctx, h *hook, k *keys, p *payload) (decrypt.Opened, error) {
	if len(p.body) > turn {
		s.large <- struct{}{}
		defer func() { <-s.large }()
	}
	headers := c.Request().Header.All()
	if k.verifier.Authorize(headers) != nil {
		return decrypt.Opened{}, errAuth
	}
	if h.Covers == CoversBody {
		match, err := k.verifier.Verify(headers, p.body)
		if err != nil {
			return decrypt.Opened{}, unsigned(err)
		}
		if err := s.admit(h, k, match.Secret); err != nil {
			return decrypt.Opened{}, err
		}
		plain, err := s.decoded(p)
		if err != nil {
			return decrypt.Opened{}, err
		}
		opened, err := k.opener.Open(plain, match.Secret)
		if err != nil && !decrypt.IsEnvelope(plain) {
			opened.Plaintext = plain // for what is to be taken out of it before it is kept
		}
		return opened, err
	}
	opened, err := k.opener.OpenAuthenticated(p.body, k.usable(s.opts.Now()))
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
		return unsettled(fmt.Errorf("quarantine a body that is %s: %w", suspect.Reason, err), "")
	}
	return s.quarantined(c, h, suspect.Reason, suspect.ReceivedAt)
}

func (s *Server) quarantined(c *fiber.Ctx, h *hook, reason dispatch.Reason, received time.Time) error {
	s.metrics.quarantined.WithLabelValues(h.ID, string(reason)).Inc()
	s.metrics.took(string(dispatch.Quarantined), received)
	s.opts.Log.Warn("an authentic body is in quarantine", "webhook", h.ID, "reason", reason)
	return s.reply(c, fiber.StatusAccepted, dispatch.Quarantined, "")
}

func (s *Server) answer(c *fiber.Ctx, h *hook, e event.Event, outcome dispatch.Outcome, err error, received time.Time) error {
	if err != nil {
		p := unsettled(err, e.ID)
		s.metrics.took(p.cause, received)
		return p
	}
	if outcome == dispatch.Quarantined {
		return s.quarantined(c, h, dispatch.ReasonRefused, received)
	}
	s.metrics.events.WithLabelValues(h.ID, string(e.Family()), string(outcome)).Inc()
	s.metrics.took(string(outcome), received)
	if s.opts.Log.Enabled(context.Background(), slog.LevelDebug) { // else its arguments are still put in boxes
		s.opts.Log.Debug("event", "webhook", h.ID, "id", e.ID, "type", e.Type, "outcome", outcome)
	}
	code := fiber.StatusOK
	if outcome == dispatch.Spooled {
		code = fiber.StatusAccepted
	}
	return s.reply(c, code, outcome, e.ID)
}

// reply answers with what became of the event; id is "" for what is none.
func (s *Server) reply(c *fiber.Ctx, code int, outcome dispatch.Outcome, id string) error {
	s.metrics.answers.WithLabelValues(strconv.Itoa(code)).Inc()
	c.Context().SetContentType(fiber.MIMEApplicationJSON)
	c.Context().SetStatusCode(code)
	c.Context().Response.SetBodyRaw(report(outcome, id))
	return nil
}

// report is the answer's document. An id is any visible ASCII.
func report(outcome dispatch.Outcome, id string) []byte {
	const most = len(`{"status":"quarantined","id":""}`)
	b := append(make([]byte, 0, most+len(id)), `{"status":"`...)
	b = append(append(b, outcome...), '"')
	if id != "" {
		b = append(b, `,"id":"`...)
		for i := range len(id) {
			if id[i] == '"' || id[i] == '\\' {
				b = append(b, '\\')
			}
			b = append(b, id[i])
		}
		b = append(b, '"')
	}
	return append(b, '}')
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
