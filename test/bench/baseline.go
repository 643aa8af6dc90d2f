package main

import (
	"fmt"
	"io"

	"github.com/gofiber/fiber/v2"

	"awareid-gateway/internal/decrypt"
	"awareid-gateway/internal/event"
	"awareid-gateway/internal/verify"
)

// newBare answers 200 to a POST whose body it has read: Fiber as it comes.
func newBare() *fiber.App {
	app := fiber.New(fiber.Config{DisableStartupMessage: true})
	app.Post("/*", func(c *fiber.Ctx) error {
		if len(c.BodyRaw()) == 0 {
			return fiber.ErrBadRequest
		}
		return c.SendStatus(fiber.StatusOK)
	})
	return app
}

// newVerified does all that the gateway does with bytes, and nothing with Redis
// and Kafka: it reads the body as the gateway does, checks the signature,
// decrypts, parses and answers.
func newVerified(secret string) (*fiber.App, error) {
	verifier, err := verify.New(verify.Options{Secrets: []verify.Secret{{Value: secret}}})
	if err != nil {
		return nil, err
	}
	opener, err := decrypt.New(decrypt.Options{Secrets: []string{secret}})
	if err != nil {
		return nil, err
	}
	app := fiber.New(fiber.Config{
		DisableStartupMessage: true, StreamRequestBody: true, DisablePreParseMultipartForm: true,
		CaseSensitive: true, StrictRouting: true,
	})
	app.Post("/*", func(c *fiber.Ctx) error {
		body, err := readBody(c)
		if err != nil {
			return err
		}
		match, err := verifier.Verify(c.Request().Header.All(), body)
		if err != nil {
			return fiber.ErrUnauthorized
		}
		opened, err := opener.Open(body, match.Secret)
		if err != nil {
			return fiber.ErrBadRequest
		}
		e, err := event.Parse(opened.Plaintext)
		if err != nil {
			return fiber.ErrBadRequest
		}
		c.Set(fiber.HeaderContentType, fiber.MIMEApplicationJSON)
		return c.Send(fmt.Appendf(nil, `{"status":"accepted","id":%q}`, e.ID))
	})
	return app, nil
}

// firstRead is what the gateway gives a body room for before any of it came.
const firstRead = 4 << 10

// readBody gives the body room as it arrives, as the gateway does.
func readBody(c *fiber.Ctx) ([]byte, error) {
	announced := c.Request().Header.ContentLength()
	body := make([]byte, 0, min(firstRead, announced))
	stream := c.Context().RequestBodyStream()
	if stream == nil {
		return append(body, c.Request().Body()...), nil
	}
	for len(body) < announced {
		if len(body) == cap(body) {
			body = append(make([]byte, 0, min(2*cap(body), announced)), body...)
		}
		n, err := stream.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		if err != nil && (err != io.EOF || len(body) < announced) {
			return nil, err
		}
	}
	return body, nil
}
