package awareid

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"slices"
	"sync/atomic"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/sony/gobreaker/v2"
)

// request is one call of the API.
type request struct {
	operation operation
	method    string
	path      string                  // escaped
	body      any                     // to be sent as JSON; nil: none
	once      bool                    // must not be carried out twice
	secrets   []string                // that the path and the body hold
	read      func(body []byte) error // of a 2xx; nil: there is nothing to read

	acted bool // set by persist: a try that failed may have been carried out
}

// do has the platform carry out q. A token that is refused is replaced once: it
// may have been revoked before its end.
func (c *Client) do(ctx context.Context, q *request) error {
	var body []byte
	var err error
	if q.body != nil {
		if body, err = json.Marshal(q.body); err != nil {
			return fmt.Errorf("%s: %w", q.operation, err)
		}
	}
	rejected := ""
	for range 2 {
		var token string
		if token, err = c.tokens.get(ctx, rejected); err != nil {
			return fmt.Errorf("%s: %s: %w", q.operation, getToken, err)
		}
		err = c.persist(ctx, q, func() error {
			return c.exchange(ctx, q.operation, func(within context.Context) error { return c.send(within, q, body, token) })
		})
		if !hasStatus(err, http.StatusUnauthorized) {
			break
		}
		rejected = token
	}
	if err != nil {
		return fmt.Errorf("%s: %w", q.operation, err)
	}
	return nil
}

// exchange makes one exchange if the circuit lets it, within the time for one, and
// counts it.
func (c *Client) exchange(ctx context.Context, o operation, send func(context.Context) error) error {
	_, err := c.circuit.Execute(func() (struct{}, error) {
		within, cancel := context.WithTimeoutCause(ctx, c.timeout, errTimeout)
		defer cancel()
		began := time.Now()
		err := send(within)
		c.metrics.exchanged(o, err, time.Since(began))
		return struct{}{}, err
	})
	if errors.Is(err, gobreaker.ErrOpenState) || errors.Is(err, gobreaker.ErrTooManyRequests) {
		c.metrics.heldBack(o)
		return errCircuitOpen
	}
	return err
}

// send makes the HTTP exchange and reads the answer.
func (c *Client) send(ctx context.Context, q *request, body []byte, token string) error {
	var sent atomic.Bool // without a connection nothing was
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { sent.Store(true) }})
	r, err := http.NewRequestWithContext(ctx, q.method, c.base+q.path, bytes.NewReader(body))
	if err != nil {
		return errors.New("the request cannot be written") // the error quotes the path
	}
	r.Header.Set("Accept", "application/json")
	r.Header.Set("Authorization", "Bearer "+token)
	own := c.credentials.Load()
	r.Header["apikey"] = []string{own.apiKey.Reveal()} // in lower case, as the reference writes it
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if q.once {
		// One that was idle may be closed at the other end, and a request that meets
		// that has an unknown outcome.
		c.transport.CloseIdleConnections()
	}
	answer, err := c.http.Do(r)
	if err != nil {
		return noAnswer(ctx, err, sent.Load())
	}
	got, err := io.ReadAll(answer.Body) // of memory, see bounded
	if err != nil {
		return noAnswer(ctx, err, true)
	}
	return q.judge(answer, got, slices.Concat(q.secrets, []string{token, own.apiKey.Reveal(), own.clientSecret.Reveal()}))
}

// judge reads an answer that is wanted, and turns any other into an error.
func (q *request) judge(answer *http.Response, body []byte, secrets []string) error {
	if answer.StatusCode/100 != 2 {
		return refusal(answer, body, secrets)
	}
	var err error
	if q.read != nil {
		err = q.read(body)
	}
	if err != nil || q.read == nil {
		if refused := refusalWithin(body, secrets); refused != nil {
			return refused
		}
	}
	return err
}

// decode reads a JSON object into the struct that into points to. Its error
// quotes nothing.
func decode(body []byte, into any, options ...json.Options) error {
	if jsontext.Value(body).Kind() != jsontext.KindBeginObject {
		return malformed("no JSON object")
	}
	if json.Unmarshal(body, into, options...) != nil {
		return malformed("not the JSON object of the reference")
	}
	return nil
}
