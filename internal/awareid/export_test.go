package awareid

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"time"
)

// The constants that tests measure against.
const (
	MaxWait         = maxWait
	CircuitFailures = circuitFailures
	CircuitPause    = circuitPause
	MaxMessage      = maxMessage
)

// DialWith makes the client reach the platform in another way.
func (c *Client) DialWith(dial func(ctx context.Context, network, address string) (net.Conn, error)) {
	c.transport.DialContext = dial
}

// ProxyBy makes the client go through a proxy, which the environment can only
// choose once in a process and never for a loopback address.
func (c *Client) ProxyBy(proxy *url.URL) { c.transport.Proxy = http.ProxyURL(proxy) }

// LimitPages bounds lists of enrollments.
func (c *Client) LimitPages(most int) { c.maxPages = most }

// The readers of what the platform sends.
var (
	ReadWebhook  = readWebhook
	ReadWebhooks = readWebhooks
	ReadIssued   = readIssued
	ReadEvents   = readEvents
	ReadStatus   = readStatus
)

// ReadPage reads a page of the list of enrollments.
func ReadPage(body []byte, number int) (Page, error) {
	page, _, err := readPage(body, number)
	return page, err
}

// ReadRefusal reads an error document.
func ReadRefusal(status int, body []byte, secrets ...string) *Error {
	return refusal(&http.Response{StatusCode: status}, body, secrets)
}

// RetryAfter reads the header.
func RetryAfter(h http.Header, now time.Time) time.Duration { return retryAfter(h, now) }
