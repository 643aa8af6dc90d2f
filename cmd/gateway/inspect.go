package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"awareid-gateway/internal/config"
	"awareid-gateway/internal/decrypt"
	"awareid-gateway/internal/event"
	"awareid-gateway/internal/verify"
)

type inspectCmd struct {
	File string `arg:"" help:"One captured request, raw HTTP with its header; - reads standard input."`
	JSON bool   `name:"json" help:"Print JSON."`
}

// Help says where the keys come from.
func (inspectCmd) Help() string {
	return "Tries every header, encoding, hash, key form and cipher that the gateway knows with AWAREID_WEBHOOK_SECRETS (and DECRYPT_PRIVATE_KEY for wrapped keys), and prints what matched as variables that can be pasted. No content is printed. The exit code is 1 if nothing matched."
}

// Run inspects and prints.
func (c *inspectCmd) Run(_ context.Context, io streams) error {
	keys, err := inspectKeys(io.environ)
	if err != nil {
		return usageError{err}
	}
	request, err := c.read()
	if err != nil {
		return usageError{fmt.Errorf("%s is not one HTTP request: %w", c.File, err)}
	}
	found, err := keys.inspect(request)
	if err != nil {
		return err
	}
	if c.JSON {
		return json.NewEncoder(io.out).Encode(found)
	}
	found.print(io.out)
	return nil
}

// captured is a request as it was received.
type captured struct {
	header http.Header
	body   []byte
}

func (c captured) headers(yield func(name, value []byte) bool) {
	for _, name := range slices.Sorted(maps.Keys(c.header)) {
		for _, value := range c.header[name] {
			if !yield([]byte(name), []byte(value)) {
				return
			}
		}
	}
}

var (
	errNotHTTP    = errors.New("it wants a request line, header lines, an empty line and the body")
	errBodyLength = errors.New("the body does not fit its header; an editor may have changed line ends")
)

// maxCaptureBytes bounds what is read of a captured request, and what is unpacked of it.
const maxCaptureBytes = 16 << 20

func (c *inspectCmd) read() (captured, error) {
	in := os.Stdin
	if c.File != "-" {
		file, err := os.Open(c.File)
		if err != nil {
			return captured{}, err
		}
		defer file.Close()
		in = file
	}
	raw, err := io.ReadAll(io.LimitReader(in, maxCaptureBytes))
	if err != nil {
		return captured{}, err
	}
	return readCaptured(raw)
}

// readCaptured wants one whole request.
func readCaptured(raw []byte) (captured, error) {
	// What net/http says of a bad request quotes it, so its words are left out.
	request, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(raw)))
	if err != nil {
		return captured{}, errNotHTTP
	}
	body, err := io.ReadAll(request.Body)
	if err != nil {
		return captured{}, errBodyLength
	}
	return captured{header: request.Header, body: body}, nil
}

func (c captured) gzipped() bool { return strings.EqualFold(c.header.Get("Content-Encoding"), "gzip") }

// open opens the body as the gateway does: what is gzipped is unpacked behind its
// signature, and not without end.
func (c captured) open(opener *decrypt.Opener, secret int) (decrypt.Opened, error) {
	if !c.gzipped() {
		return opener.Open(c.body, secret)
	}
	in, err := gzip.NewReader(bytes.NewReader(c.body))
	if err != nil {
		return decrypt.Opened{}, decrypt.ErrDecrypt
	}
	plain, err := io.ReadAll(io.LimitReader(in, maxCaptureBytes+1))
	if err != nil || len(plain) > maxCaptureBytes {
		return decrypt.Opened{}, decrypt.ErrDecrypt
	}
	return opener.Open(plain, secret)
}

// trialKeys are everything that a request may have been made with.
type trialKeys struct {
	secrets []string
	form    verify.Form
	private []*rsa.PrivateKey
}

func inspectKeys(environ []string) (trialKeys, error) {
	vars, err := config.Lookup(environ, "AWAREID_WEBHOOK_SECRETS", "DECRYPT_PRIVATE_KEY")
	if err != nil {
		return trialKeys{}, err
	}
	list, err := config.ParseSecrets(vars["AWAREID_WEBHOOK_SECRETS"])
	if err != nil {
		return trialKeys{}, fmt.Errorf("AWAREID_WEBHOOK_SECRETS: %w", err)
	}
	keys := trialKeys{form: verify.FormAuto}
	for _, s := range list {
		keys.secrets = append(keys.secrets, s.Value.Reveal())
		if _, err := verify.FormAuto.Key(s.Value.Reveal()); err != nil {
			keys.form = verify.FormRaw // not what the platform makes, but perhaps what a test stand-in does
		}
	}
	if pem := vars["DECRYPT_PRIVATE_KEY"].Reveal(); pem != "" {
		if keys.private, err = decrypt.ParsePrivateKeys([]byte(pem)); err != nil {
			return trialKeys{}, fmt.Errorf("DECRYPT_PRIVATE_KEY: %w", err)
		}
	}
	return keys, nil
}

// findings are what matched. The variables are ready to paste.
type findings struct {
	Signature string            `json:"signature"`
	Body      string            `json:"body"`
	Event     string            `json:"event"`
	Variables map[string]string `json:"variables"`
}

var errNoMatch = errors.New("nothing matches: no header holds a MAC of the body or of what it decrypts to, and no secret opens the body; is the secret of this webhook, and the capture byte for byte?")

func (k trialKeys) inspect(r captured) (findings, error) {
	verifier, err := k.verifier()
	if err != nil {
		return findings{}, usageError{err}
	}
	opener, err := decrypt.New(decrypt.Options{Secrets: k.secrets, PrivateKeys: k.private})
	if err != nil {
		return findings{}, usageError{err}
	}
	f := findings{Variables: map[string]string{}}
	match, err := verifier.Verify(r.headers, r.body)
	if err == nil {
		f.signed(match, config.CoversBody)
		f.opened(r.open(opener, match.Secret))
		if r.gzipped() {
			f.Variables["HTTP_ACCEPT_GZIP"] = "true"
		}
		return f, nil
	}
	opened, err := opener.OpenAuthenticated(r.body, nil)
	if err != nil {
		return f, errNoMatch
	}
	match, err = verifier.Verify(r.headers, opened.Plaintext)
	if err == nil {
		f.signed(match, config.CoversPlaintext)
	} else {
		f.Signature = "none that matches; the gateway would take it with an auth header only"
		f.Variables["SIGNATURE_REQUIRED"] = "false"
	}
	f.opened(opened, nil)
	return f, nil
}

func (k trialKeys) verifier() (*verify.Verifier, error) {
	options := verify.Options{Form: k.form}
	for _, s := range k.secrets {
		options.Secrets = append(options.Secrets, verify.Secret{Value: s})
	}
	return verify.New(options)
}

func (f *findings) signed(m verify.Match, covers string) {
	f.Signature = fmt.Sprintf("header %s: %s of HMAC-%s over the %s, keyed with the %s of secret %d",
		m.Header, m.Encoding, strings.ToUpper(m.Hash), covers, map[verify.Form]string{
			verify.FormBase64: "decoded bytes", verify.FormRaw: "characters",
		}[m.Form], m.Secret+1)
	f.Variables["SIGNATURE_HEADER"] = m.Header
	f.Variables["SECRET_FORM"] = string(m.Form)
	f.Variables["SIGNATURE_COVERS"] = covers
}

func (f *findings) opened(o decrypt.Opened, err error) {
	switch {
	case err != nil:
		f.Body = "cannot be opened: it would go to quarantine"
		return
	case !o.Sealed:
		f.Body = "plaintext"
	case o.Wrap != "":
		f.Body = o.Cipher + " under a key wrapped with " + o.Wrap + ": set DECRYPT_PRIVATE_KEY"
	default:
		f.Body = fmt.Sprintf("%s under secret %d", o.Cipher, o.Secret+1)
	}
	e, err := event.Parse(o.Plaintext)
	if err != nil {
		f.Event = "none: " + err.Error() + "; it would go to quarantine"
		return
	}
	number := "no transaction number"
	if e.TransactionNum != "" {
		number = "a transaction number"
	}
	f.Event = fmt.Sprintf("%s, created %s, with %s", e.Type, e.Created.Format(time.RFC3339), number)
}

func (f findings) print(out io.Writer) {
	fmt.Fprintf(out, "# signature  %s\n# body       %s\n# event      %s\n", f.Signature, f.Body, f.Event)
	for _, name := range slices.Sorted(maps.Keys(f.Variables)) {
		fmt.Fprintf(out, "%s=%s\n", name, f.Variables[name])
	}
}
