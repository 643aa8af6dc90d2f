package server

import (
	"errors"
	"strconv"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"awareid-gateway/internal/dispatch"
)

// problem is a refusal: what the sender sees, what a metric counts, and
// whether the connection survives it. The sender reads RFC 9457.
type problem struct {
	status     int
	title      string
	detail     string        // only for senders whose signature held
	cause      string        // metric label, from this file only
	retryAfter time.Duration // 0: no such header
	hangUp     bool          // the request's end is in doubt, or not worth reading
	because    error         // for the log: what kept an authentic event from being taken
	id         string        // of that event; "" for a body that is none
	body       []byte        // the document, where it is the same for all who get it
}

// refusal is a problem that many may be refused with: it is written beforehand.
func refusal(p problem) *problem {
	p.body = p.document()
	return &p
}

func (p *problem) Error() string { return p.cause }

// The refusals, in the order of the work. What stands ahead of the signature
// names no cause to the sender beyond its status.
var (
	errFraming    = refusal(problem{status: 400, title: "Bad Request", cause: "framing", hangUp: true})
	errSyntax     = refusal(problem{status: 400, title: "Bad Request", cause: "syntax", hangUp: true})
	errTrailer    = refusal(problem{status: 400, title: "Bad Request", cause: "trailer", hangUp: true})
	errAddress    = refusal(problem{status: 403, title: "Forbidden", cause: "address", hangUp: true})
	errPath       = refusal(problem{status: 404, title: "Not Found", cause: "path"})
	errMethod     = refusal(problem{status: 405, title: "Method Not Allowed", cause: "method"})
	errSlow       = refusal(problem{status: 408, title: "Request Timeout", cause: "slow", hangUp: true})
	errTooLarge   = refusal(problem{status: 413, title: "Content Too Large", cause: "too_large", hangUp: true})
	errEncoding   = refusal(problem{status: 415, title: "Unsupported Media Type", cause: "content_encoding", hangUp: true})
	errHeaderSize = refusal(problem{status: 431, title: "Request Header Fields Too Large", cause: "header_size", hangUp: true})
	errHeaders    = refusal(problem{status: 431, title: "Request Header Fields Too Large", cause: "header_count", hangUp: true})
	errBudget     = refusal(problem{status: 503, title: "Service Unavailable", cause: "body_budget", retryAfter: time.Second, hangUp: true})
	errCut        = refusal(problem{status: 400, title: "Bad Request", cause: "cut_body", hangUp: true})
	errRate       = refusal(problem{status: 429, title: "Too Many Requests", cause: "rate", retryAfter: time.Second})
	errBusy       = refusal(problem{status: 503, title: "Service Unavailable", cause: "busy", retryAfter: time.Second})
	errAuth       = refusal(problem{status: 401, title: "Unauthorized", cause: "auth_header"})
	errUnsigned   = refusal(problem{status: 401, title: "Unauthorized", cause: "not_signed"})
	errSignature  = refusal(problem{status: 401, title: "Unauthorized", cause: "signature"})
	errRotating   = refusal(problem{status: 503, title: "Service Unavailable", cause: "rotation", retryAfter: 5 * time.Second})
	errQuota      = refusal(problem{status: 429, title: "Too Many Requests", cause: "quota", retryAfter: time.Second, detail: "the quota of this webhook is used up"})
	errInternal   = refusal(problem{status: 500, title: "Internal Server Error", cause: "internal", hangUp: true})
)

// The refusals of connections, of which no answer tells.
var (
	errConnections = &problem{cause: "connections"}
	errSite        = &problem{cause: "connections_per_address"}
	errHandshake   = &problem{cause: "tls"}
)

// unsettled says to an authentic sender why its event could not be taken now.
func unsettled(err error, id string) *problem {
	p := &problem{status: 503, title: "Service Unavailable", retryAfter: 5 * time.Second, because: err, id: id}
	switch {
	case errors.Is(err, dispatch.ErrStore):
		p.cause, p.detail = "store", "the store of known events does not answer; send the event again"
	case errors.Is(err, dispatch.ErrInFlight):
		p.cause, p.detail = "in_flight", "the same event is being delivered; send it again to learn the outcome"
	case errors.Is(err, dispatch.ErrUnknown):
		p.cause, p.detail = "unknown_outcome", "Kafka has not acknowledged the event yet; send it again to learn the outcome"
	case errors.Is(err, dispatch.ErrRefused):
		p.cause, p.detail = "refused", "Kafka refuses the event and its quarantine record"
	default:
		p.cause, p.detail = "kafka", "Kafka did not take the event; send it again"
	}
	return p
}

// write answers with the problem document.
func (p *problem) write(ctx *fasthttp.RequestCtx) {
	if p.hangUp {
		ctx.SetConnectionClose()
	}
	if c, ok := ctx.Conn().(*conn); ok && ctx.Response.ConnectionClose() {
		c.linger()
	}
	header := &ctx.Response.Header
	if p.retryAfter > 0 {
		header.Set(fiber.HeaderRetryAfter, strconv.Itoa(int(p.retryAfter/time.Second)))
	}
	if p.status == fiber.StatusMethodNotAllowed {
		header.Set(fiber.HeaderAllow, fiber.MethodPost)
	}
	ctx.SetStatusCode(p.status)
	ctx.SetContentType("application/problem+json")
	body := p.body
	if body == nil {
		body = p.document()
	}
	ctx.Response.SetBodyRaw(body)
}

// document is what the sender reads. Titles and details are of this file,
// and nothing in them needs an escape.
func (p *problem) document() []byte {
	dst := append([]byte(`{"type":"about:blank","title":"`), p.title...)
	dst = strconv.AppendInt(append(dst, `","status":`...), int64(p.status), 10)
	if p.detail != "" {
		dst = append(append(append(dst, `,"detail":"`...), p.detail...), '"')
	}
	return append(dst, '}')
}

// asProblem turns what Fiber and fasthttp report into one of ours. Their own
// words may quote the request, so none of them goes out.
func asProblem(err error) *problem {
	if p, ok := err.(*problem); ok { // all that a handler returns; no allocation for the forged
		return p
	}
	var f *fiber.Error
	if !errors.As(err, &f) {
		return errInternal
	}
	switch f.Code {
	case fiber.StatusNotFound:
		return errPath
	case fiber.StatusMethodNotAllowed:
		return errMethod
	case fiber.StatusRequestTimeout:
		return errSlow
	case fiber.StatusRequestEntityTooLarge:
		return errTooLarge
	case fiber.StatusRequestHeaderFieldsTooLarge:
		return errHeaderSize
	case fiber.StatusBadRequest, fiber.StatusBadGateway: // the latter: the connection broke
		return errSyntax
	}
	return errInternal
}
