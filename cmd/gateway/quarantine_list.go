package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"
	"unicode/utf8"

	"awareid-gateway/internal/dispatch"
	"awareid-gateway/internal/privacy"
)

type quarantineListCmd struct {
	reasonFlag
	Webhook string        `placeholder:"ID" help:"Only records of this webhook."`
	Since   time.Duration `placeholder:"2h" help:"Only records that are no older."`
	JSON    bool          `name:"json" help:"Print a JSON line for each record."`
}

// Help says what is read.
func (quarantineListCmd) Help() string {
	return "Reads the same variables as serve, and the whole quarantine topic: the oldest record first. A record is authentic if its MAC holds under a key that is configured; what another one says of itself may be made up. No content is printed."
}

// Validate refuses what would list nothing.
func (c *quarantineListCmd) Validate() error {
	if c.Since < 0 {
		return errors.New("--since is not negative")
	}
	return c.validate()
}

func (c *quarantineListCmd) takes(r dispatch.Sealed, now time.Time) bool {
	return c.reasonFlag.takes(r) &&
		(c.Webhook == "" || r.Webhook() == c.Webhook) &&
		(c.Since == 0 || !r.Time.Before(now.Add(-c.Since)))
}

// Run lists.
func (c *quarantineListCmd) Run(ctx context.Context, io streams) error {
	w, err := openWard(io)
	if err != nil {
		return err
	}
	defer w.close()
	if !c.JSON {
		printHeading(io.out)
	}
	now, lines := time.Now(), json.NewEncoder(io.out)
	return w.read(ctx, func(r dispatch.Sealed) error {
		if !c.takes(r, now) {
			return nil
		}
		e, _ := w.entry(r)
		if c.JSON {
			return lines.Encode(e)
		}
		e.print(io.out)
		return nil
	})
}

type quarantineShowCmd struct {
	Which pick `arg:"" help:"PARTITION@OFFSET, or the first 16 or more digits of the digest."`
	Body  bool `help:"Print the body too, as it is kept. It can hold what is private."`
	JSON  bool `name:"json" help:"Print JSON, the body in base64."`
}

// Help says what is kept back.
func (quarantineShowCmd) Help() string {
	return "Reads the same variables as serve. Without --body no content is printed. The body of a record that is not authentic is shown as it lies in the topic. With a digest, every record that has it is shown."
}

// detail is all that is known of a record.
type detail struct {
	entry
	Received *time.Time   `json:"received,omitempty"`
	Redacted privacy.Done `json:"redacted,omitempty"`
	Replay   string       `json:"replay"`
	ID       string       `json:"id,omitempty"`
	Type     string       `json:"type,omitempty"`
	Body     []byte       `json:"body,omitempty"`
}

// Run shows.
func (c *quarantineShowCmd) Run(ctx context.Context, io streams) error {
	w, err := openWard(io)
	if err != nil {
		return err
	}
	defer w.close()
	return w.readPicked(ctx, []pick{c.Which}, func(r dispatch.Sealed) error {
		d := w.detail(r, c.Body)
		if c.JSON {
			return json.NewEncoder(io.out).Encode(d)
		}
		d.print(io.out)
		return nil
	})
}

func (w *ward) detail(r dispatch.Sealed, withBody bool) detail {
	e, suspect := w.entry(r)
	d := detail{entry: e, Replay: resultReady}
	if e.Authentic {
		d.Received, d.Redacted = &suspect.ReceivedAt, suspect.Redacted
	} else {
		suspect.Body = r.Value
	}
	if withBody {
		d.Body = suspect.Body
	}
	in, err := w.reopen(r)
	if err != nil {
		d.Replay = resultOf(err) + ": " + err.Error()
		return d
	}
	d.ID, d.Type = in.Event.ID, in.Event.Type
	return d
}

func (d detail) print(out io.Writer) {
	line := func(name, value string) { fmt.Fprintf(out, "%-10s %s\n", name, value) }
	line("position", d.Position)
	line("time", d.Time.Format(time.RFC3339Nano))
	if d.Received != nil {
		line("received", d.Received.Format(time.RFC3339Nano))
	}
	line("webhook", d.Webhook)
	line("reason", d.Reason)
	line("digest", d.Digest)
	line("bytes", strconv.Itoa(d.Size))
	if d.Redacted != "" {
		line("redacted", string(d.Redacted))
	}
	line("authentic", yesNo(d.Authentic))
	line("replay", d.Replay)
	if d.ID != "" {
		line("id", d.ID)
		line("type", d.Type)
	}
	if d.Body != nil {
		line("body", readable(d.Body))
	}
}

// readable is text as it is, and anything else quoted: a terminal obeys bytes.
func readable(body []byte) string {
	for _, r := range string(body) {
		if r == utf8.RuneError || !strconv.IsPrint(r) && r != '\n' && r != '\t' {
			return strconv.QuoteToASCII(string(body))
		}
	}
	return string(body)
}
