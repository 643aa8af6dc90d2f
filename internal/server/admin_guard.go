package server

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"mime"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"
)

var (
	errHost        = &problem{status: 403, title: "Forbidden", cause: "host", detail: "the Host header names no host of the admin listener; see ADMIN_HOSTS"}
	errToken       = &problem{status: 401, title: "Unauthorized", cause: "token", detail: "wants Authorization: Bearer with the ADMIN_TOKEN"}
	errGuesses     = &problem{status: 429, title: "Too Many Requests", cause: "guesses", retryAfter: time.Second, detail: "too many wrong tokens from this address"}
	errOrigin      = &problem{status: 403, title: "Forbidden", cause: "origin", detail: "a page of another site must not change anything here"}
	errContentType = &problem{status: 415, title: "Unsupported Media Type", cause: "content_type", detail: "wants Content-Type: application/json, which a form cannot send"}
)

// How many connections the admin listener and the probes take each, in all and from
// one address. They are for a few people and machines; of this host, where a proxy may
// be, all may come.
const (
	maxAdminConnections           = 128
	maxAdminConnectionsPerAddress = 32
)

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}

// maxGuesses is how many wrong tokens an address may try in a second. It is per
// address: one limit for all would let anybody lock out the operators. Behind a proxy
// all have one address; who reaches it can lock out the others there.
const maxGuesses = 20

// adminListener caps connections at accept; proof may be nil.
func adminListener(l net.Listener, proof *TLS) net.Listener {
	capped := newCappedListener(Limits{
		ReadTimeout: adminTime, MaxConnections: maxAdminConnections, MaxConnectionsPerAddress: maxAdminConnectionsPerAddress,
	}, addresses{trusted: loopback}, nil)
	capped.Listener, capped.tls = l, proof
	capped.refused, capped.failed, capped.proxySeen = func(*problem, netip.Addr) {}, func(string, netip.Addr) {}, func() {}
	return capped
}

// secureHeaders are on every answer. What is answered is for programs, or for the
// console, which brings a policy of its own: a browser must not run, frame, keep or
// pass on any of it.
func secureHeaders(h *fasthttp.ResponseHeader) {
	h.Set(fiber.HeaderXContentTypeOptions, "nosniff")
	h.Set(fiber.HeaderCacheControl, "no-store")
	h.Set(fiber.HeaderReferrerPolicy, "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	if len(h.Peek(fiber.HeaderContentSecurityPolicy)) == 0 {
		h.Set(fiber.HeaderContentSecurityPolicy, "default-src 'none'; frame-ancestors 'none'")
	}
}

// refuseAdmin answers whatever a handler, Fiber or fasthttp refuses, with the
// methods that there are as Fiber names them.
func refuseAdmin(c *fiber.Ctx, err error) error {
	allow := strings.Clone(c.GetRespHeader(fiber.HeaderAllow)) // write sets it anew
	asProblem(err).write(c.Context())
	if allow != "" {
		c.Set(fiber.HeaderAllow, allow)
	}
	secureHeaders(&c.Response().Header)
	return nil
}

// refuseOptions lets no browser find out what another site may do here: nothing.
func refuseOptions(c *fiber.Ctx) error {
	if c.Method() == fiber.MethodOptions {
		c.Set(fiber.HeaderAllow, "GET, HEAD, POST, DELETE")
		return errMethod
	}
	return c.Next()
}

// checkHost keeps a web page that had its name rebound to our address from
// reading the admin listener through a browser. The page can add headers of its
// own, so X-Forwarded-Host, which Fiber's Hostname prefers, must not count.
func (a *Admin) checkHost(c *fiber.Ctx) error {
	host := string(c.Request().Header.Host())
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.Trim(host, "[]")
	if strings.EqualFold("localhost", host) || a.isHost(host) {
		return c.Next()
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return c.Next() // a name can be rebound, an address cannot
	}
	return errHost
}

// isHost says whether a name is one of ADMIN_HOSTS.
func (a *Admin) isHost(host string) bool {
	return slices.ContainsFunc(a.opts.Hosts, func(name string) bool { return strings.EqualFold(name, host) })
}

// tokens are digests of the tokens that are taken; none: no token is asked for.
type tokens [][sha256.Size]byte

// newTokens takes one a line.
func newTokens(lines string) *tokens {
	var all tokens
	if lines != "" {
		for token := range strings.SplitSeq(lines, "\n") {
			all = append(all, sha256.Sum256([]byte(token)))
		}
	}
	return &all
}

// hold compares digests, each with every token's and in constant time: neither the
// length of a token shows nor which of them it was.
func (t tokens) hold(given string) bool {
	digest, held := sha256.Sum256([]byte(given)), 0
	for i := range t {
		held |= subtle.ConstantTimeCompare(digest[:], t[i][:])
	}
	return held == 1
}

// SetToken puts other tokens in force, one a line, for requests to come. It refuses
// to begin or to end with asking for one.
func (a *Admin) SetToken(lines string) error {
	next := newTokens(lines)
	if len(*next) == 0 || len(*a.tokens.Load()) == 0 {
		return errors.New("a token is asked for, or not, from the start")
	}
	if slices.Contains(*next, sha256.Sum256(nil)) {
		return errors.New("a token is empty")
	}
	a.tokens.Store(next)
	return nil
}

// checkToken does not look at the token of an address that has guessed too often.
func (a *Admin) checkToken(c *fiber.Ctx) error {
	tokens := *a.tokens.Load()
	if len(tokens) == 0 {
		return c.Next()
	}
	given, bearer := strings.CutPrefix(c.Get(fiber.HeaderAuthorization), "Bearer ")
	from, now := site(peerAddr(c.Context())), time.Now()
	switch {
	case bearer && a.guesses.spent(from, now):
		return errGuesses
	case bearer && tokens.hold(given):
		return c.Next()
	case bearer:
		a.guesses.allow(from, now)
	}
	c.Set(fiber.HeaderWWWAuthenticate, "Bearer")
	return errToken
}

// checkOrigin keeps a page of another site from changing anything through a
// browser, which says where a request comes from. Without a token, for a browser
// that does not, a change has to have a content type that no form can send: what
// can, a browser asks leave for, in vain.
func (a *Admin) checkOrigin(c *fiber.Ctx) error {
	if c.Method() == fiber.MethodGet || c.Method() == fiber.MethodHead {
		return c.Next()
	}
	switch from := c.Get("Sec-Fetch-Site"); {
	case from != "" && from != "same-origin" && from != "none":
		return errOrigin
	case !a.isOrigin(c.Get(fiber.HeaderOrigin), string(c.Request().Header.Host())):
		return errOrigin
	case c.Method() == fiber.MethodDelete || len(*a.tokens.Load()) > 0:
		return c.Next() // no form can send either
	}
	if kind, _, err := mime.ParseMediaType(c.Get(fiber.HeaderContentType)); err != nil || kind != fiber.MIMEApplicationJSON {
		return errContentType
	}
	return c.Next()
}

// isOrigin is true for a page of this listener, under a name of ADMIN_HOSTS behind
// a proxy that changes the Host, and where there is no Origin, as programs send none.
func (a *Admin) isOrigin(origin, host string) bool {
	if origin == "" {
		return true
	}
	from, err := url.Parse(origin)
	return err == nil && from.Host != "" && (strings.EqualFold(from.Host, host) || a.isHost(from.Host) || a.isHost(from.Hostname()))
}
