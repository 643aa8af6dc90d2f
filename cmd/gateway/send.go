package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"awareid-gateway/internal/config"
	"awareid-gateway/internal/simulator"
)

// schemeFlags say how callbacks are signed and encrypted.
type schemeFlags struct {
	Cipher   string `default:"gcm" enum:"gcm,gcm16,cbc,bare-gcm,bare-cbc,none" help:"Cipher of the body: ${enum}."`
	Header   string `default:"${signatureHeader}" help:"Header of the signature."`
	Encoding string `default:"hex" enum:"hex,base64,base64url,base64raw,base64urlraw" help:"Encoding of the signature: ${enum}."`
	Prefix   string `help:"What stands before the signature, such as sha256=."`
	Hash     string `default:"sha256" enum:"sha256,sha512" help:"Hash of the signature: ${enum}."`
	Form     string `default:"base64" enum:"base64,raw" help:"The signature's key: the decoded secret (base64) or its characters (raw)."`
	Covers   string `default:"body" enum:"body,plaintext" help:"What is signed: ${enum}."`
	Unsigned bool   `help:"Leave the signature out."`
}

func (f schemeFlags) scheme() simulator.Scheme {
	return simulator.Scheme{
		Cipher: f.Cipher, Header: f.Header, Encoding: f.Encoding, Prefix: f.Prefix,
		Hash: f.Hash, Form: f.Form, Covers: f.Covers, Unsigned: f.Unsigned,
	}
}

type sendCmd struct {
	URL    string `arg:"" help:"Where to post, such as http://127.0.0.1:8080/webhooks/awareid."`
	Type   string `default:"enrollment.completed" help:"Type of the event."`
	File   string `type:"existingfile" help:"Post this plaintext event (JSON) in place of a made-up one."`
	Repeat int    `default:"1" help:"Post it this often."`
	JSON   bool   `name:"json" help:"Print a JSON line for each answer."`
	CA     string `name:"ca" type:"existingfile" placeholder:"FILE" help:"Certificates (PEM) that vouch for the URL's host; the system's without it."`
	Cert   string `type:"existingfile" and:"cert" placeholder:"FILE" help:"Certificate (PEM) to show, where one is asked for."`
	Key    string `type:"existingfile" and:"cert" placeholder:"FILE" help:"Its private key (PEM)."`
	schemeFlags
}

// Help says where the secrets come from.
func (sendCmd) Help() string {
	return "The secret is the first of AWAREID_WEBHOOK_SECRETS, the auth header AWAREID_AUTH_HEADER_KEY and AWAREID_AUTH_HEADER_VALUE. Exits with 0 if every answer is 2xx."
}

// Validate refuses a URL that cannot be posted to, and a run that would post
// nothing and call it success.
func (c *sendCmd) Validate() error {
	target, err := url.Parse(c.URL)
	switch {
	case err != nil || target.Host == "" || target.Scheme != "http" && target.Scheme != "https":
		return errors.New("<url> is no http:// or https:// URL")
	case c.Repeat < 1:
		return errors.New("--repeat is 1 or more")
	}
	return nil
}

// Run posts the event and prints the answers.
func (c *sendCmd) Run(ctx context.Context, io streams) error {
	scheme, err := c.signer(io.environ)
	if err != nil {
		return usageError{err}
	}
	plaintext, err := c.event()
	if err != nil {
		return err
	}
	body, header, err := scheme.Seal(plaintext)
	if err != nil {
		return usageError{err}
	}
	client, err := c.client()
	if err != nil {
		return usageError{err}
	}
	defer client.CloseIdleConnections()
	for range c.Repeat {
		if err := c.post(ctx, client, io.out, body, header); err != nil {
			return err
		}
	}
	return nil
}

func (c *sendCmd) signer(environ []string) (simulator.Scheme, error) {
	scheme := c.scheme()
	vars, err := config.Lookup(environ, "AWAREID_WEBHOOK_SECRETS", "AWAREID_AUTH_HEADER_KEY", "AWAREID_AUTH_HEADER_VALUE")
	if err != nil {
		return scheme, err
	}
	secrets, err := config.ParseSecrets(vars["AWAREID_WEBHOOK_SECRETS"])
	if err != nil {
		return scheme, fmt.Errorf("AWAREID_WEBHOOK_SECRETS: %w", err)
	}
	scheme.Secret = secrets[0].Value.Reveal()
	scheme.AuthHeaderKey = vars["AWAREID_AUTH_HEADER_KEY"].Reveal()
	scheme.AuthHeaderValue = firstLine(vars["AWAREID_AUTH_HEADER_VALUE"])
	return scheme, nil
}

// firstLine is the current one of the values that a secret holds, "" for none.
func firstLine(s config.Secret) string {
	first, _, _ := strings.Cut(s.Reveal(), "\n")
	return first
}

func (c *sendCmd) event() ([]byte, error) {
	if c.File != "" {
		return os.ReadFile(c.File)
	}
	generator, err := simulator.NewGenerator(simulator.GeneratorOptions{
		Seed: uint64(time.Now().UnixNano()), Types: []string{c.Type},
		TransactionPlace: simulator.Nowhere, // a made up one would be the platform's, or show holes
	})
	if err != nil {
		return nil, usageError{err}
	}
	e, err := generator.Next()
	return e.Body, err
}

// sendTimeout is the time-out that the platform is assumed to have.
const sendTimeout = 5 * time.Second

// maxAnswerBytes is how much of an answer is shown.
const maxAnswerBytes = 4 << 10

// client goes by the flags of TLS.
func (c *sendCmd) client() (*http.Client, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.CA != "" {
		pem, err := os.ReadFile(c.CA)
		if err != nil {
			return nil, fmt.Errorf("--ca: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, errors.New("--ca: no certificate in PEM")
		}
	}
	if c.Cert != "" {
		pair, err := tls.LoadX509KeyPair(c.Cert, c.Key)
		if err != nil {
			return nil, fmt.Errorf("--cert and --key: %w", err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = config
	return &http.Client{Transport: transport}, nil
}

func (c *sendCmd) post(ctx context.Context, client *http.Client, out io.Writer, body []byte, header http.Header) error {
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.URL, bytes.NewReader(body))
	if err != nil {
		return usageError{err}
	}
	request.Header = header.Clone()
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, maxAnswerBytes))
	if err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	if err := c.print(out, response.StatusCode, strings.TrimSpace(string(answer))); err != nil {
		return err
	}
	if response.StatusCode/100 != 2 {
		return fmt.Errorf("answered %s", response.Status)
	}
	return nil
}

func (c *sendCmd) print(out io.Writer, status int, answer string) error {
	if !c.JSON {
		_, err := fmt.Fprintln(out, status, answer)
		return err
	}
	line := struct {
		HTTP   int             `json:"http"`
		Answer json.RawMessage `json:"answer,omitempty"`
	}{HTTP: status}
	if json.Valid([]byte(answer)) {
		line.Answer = json.RawMessage(answer)
	}
	return json.NewEncoder(out).Encode(line)
}
