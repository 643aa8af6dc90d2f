package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"awareid-gateway/internal/config"
	"awareid-gateway/internal/decrypt"
	"awareid-gateway/internal/dispatch"
	"awareid-gateway/internal/event"
	"awareid-gateway/internal/server"
	"awareid-gateway/internal/telemetry"
)

type quarantineCmd struct {
	List   quarantineListCmd   `cmd:"" help:"A line for each record."`
	Show   quarantineShowCmd   `cmd:"" help:"One record, and what a replay would make of it."`
	Replay quarantineReplayCmd `cmd:"" help:"Open records again and dispatch their events, once each."`
}

// reasonFlag chooses records by their reason.
type reasonFlag struct {
	Reason dispatch.Reason `placeholder:"R" help:"Only records with this reason: undecryptable, malformed, stale, future or refused."`
}

func (f reasonFlag) validate() error {
	if f.Reason != "" && !slices.Contains(dispatch.Reasons(), f.Reason) {
		return fmt.Errorf("--reason is one of %v", dispatch.Reasons())
	}
	return nil
}

func (f reasonFlag) takes(r dispatch.Sealed) bool { return f.Reason == "" || r.Reason() == f.Reason }

// pick names records: one by partition and offset, or those of a digest.
type pick struct {
	text      string
	partition int
	offset    int64
	digest    string // its beginning; "": partition and offset count
}

// minDigest is how many digits of a digest list prints, and a pick needs.
const minDigest = 16

var errPick = fmt.Errorf("wants PARTITION@OFFSET, or at least the first %d hexadecimal digits of a digest", minDigest)

// UnmarshalText reads what list prints.
func (p *pick) UnmarshalText(text []byte) error {
	p.text = string(text)
	if partition, offset, ok := strings.Cut(p.text, "@"); ok {
		number, err := strconv.ParseUint(partition, 10, 31)
		at, errAt := strconv.ParseUint(offset, 10, 63)
		p.partition, p.offset = int(number), int64(at)
		if err != nil || errAt != nil {
			return errPick
		}
		return nil
	}
	p.digest = strings.ToLower(p.text)
	even := p.digest[:len(p.digest)/2*2]
	if _, err := hex.DecodeString(even); err != nil || len(even) < minDigest || len(p.digest) > 2*32 {
		return errPick
	}
	return nil
}

func (p *pick) takes(r dispatch.Sealed) bool {
	if p.digest != "" {
		return strings.HasPrefix(r.Digest(), p.digest)
	}
	return r.Partition == p.partition && r.Offset == p.offset
}

// ward is the quarantine topic with all that opens its records.
type ward struct {
	cfg     config.Config
	log     *slog.Logger
	kafka   *dispatch.Kafka
	sealer  *dispatch.Sealer
	openers map[string]*decrypt.Opener // by webhook id
}

func openWard(io streams) (*ward, error) {
	cfg, _, err := config.Load(io.environ) // its warnings are for serve and check
	if err != nil {
		return nil, usageError{err}
	}
	w := &ward{cfg: cfg, openers: map[string]*decrypt.Opener{}}
	w.log = telemetry.NewLogger(io.err, max(cfg.LogLevel, slog.LevelWarn), cfg.LogFormat == config.LogText)
	webhooks, err := newWebhooks(cfg)
	if err != nil {
		return nil, err
	}
	for _, hook := range webhooks {
		w.openers[hook.ID] = hook.Opener
	}
	if w.sealer, err = newSealer(cfg); err != nil {
		return nil, err
	}
	w.kafka, err = newKafka(cfg, w.log)
	return w, err
}

func (w *ward) close() { w.kafka.Close() }

func (w *ward) read(ctx context.Context, each func(dispatch.Sealed) error) error {
	return w.kafka.ReadQuarantine(ctx, routes(w.cfg).Quarantine(), each)
}

// missingError lists picks that no record answers to.
type missingError []string

func (e missingError) Error() string { return "not in quarantine: " + strings.Join(e, ", ") }

// readPicked reads the records that are picked.
func (w *ward) readPicked(ctx context.Context, picks []pick, each func(dispatch.Sealed) error) error {
	found := make([]bool, len(picks))
	err := w.read(ctx, func(r dispatch.Sealed) error {
		taken := false
		for i := range picks {
			if picks[i].takes(r) {
				found[i], taken = true, true
			}
		}
		if !taken {
			return nil
		}
		return each(r)
	})
	if err != nil {
		return err
	}
	var missing missingError
	for i, p := range picks {
		if !found[i] {
			missing = append(missing, p.text)
		}
	}
	if missing != nil {
		return missing
	}
	return nil
}

var errFuture = errors.New("created in the time to come, still")

// reopen does what the gateway did with the body when it came, with the keys of
// today. The errors are ErrForged, ErrDecrypt, ErrMalformed and errFuture. A
// stale event is no error: dispatch reads Kafka back for it.
func (w *ward) reopen(r dispatch.Sealed) (dispatch.Inbound, error) {
	suspect, err := w.sealer.Open(r)
	if err != nil {
		return dispatch.Inbound{}, err
	}
	plaintext := suspect.Body
	// A refused record was an event, opened; what was redacted had come in plaintext.
	if suspect.Reason != dispatch.ReasonRefused && suspect.Redacted == "" {
		body, err := server.Inflate(suspect.Body, int(w.cfg.HTTPMaxBodyBytes))
		if err != nil {
			return dispatch.Inbound{}, err
		}
		opened, err := w.openers[suspect.WebhookID].Open(body, decrypt.NoSecret)
		if err != nil {
			return dispatch.Inbound{}, err
		}
		plaintext = opened.Plaintext
	}
	e, err := event.Parse(plaintext)
	if err == nil && e.Created.After(time.Now().Add(server.MaxAhead)) {
		err = errFuture
	}
	return dispatch.Inbound{
		Event: e, WebhookID: suspect.WebhookID, Origin: dispatch.Replay, ReceivedAt: suspect.ReceivedAt, Redacted: suspect.Redacted,
	}, err
}

// entry is a record as it is printed.
type entry struct {
	Position  string    `json:"position"`
	Time      time.Time `json:"time"`
	Webhook   string    `json:"webhook"`
	Reason    string    `json:"reason"`
	Digest    string    `json:"digest"`
	Size      int       `json:"size"`
	Authentic bool      `json:"authentic"`
}

func (w *ward) entry(r dispatch.Sealed) (entry, dispatch.Suspect) {
	suspect, err := w.sealer.Open(r)
	e := entry{
		Position: position(r), Time: r.Time.UTC(), Webhook: printable(r.Webhook()), Reason: printable(string(r.Reason())),
		Digest: printable(r.Digest()), Size: len(suspect.Body), Authentic: err == nil,
	}
	if err != nil {
		e.Size = len(r.Value)
	}
	return e, suspect
}

const entryFormat = "%-12s  %-24s  %-32s  %-13s  %-16s  %8v  %s\n"

func printHeading(out io.Writer) {
	fmt.Fprintf(out, entryFormat, "POSITION", "TIME", "WEBHOOK", "REASON", "DIGEST", "BYTES", "AUTHENTIC")
}

func (e entry) print(out io.Writer) {
	fmt.Fprintf(out, entryFormat, e.Position, e.Time.Format("2006-01-02T15:04:05.000Z"), e.Webhook, e.Reason,
		short(e.Digest), e.Size, yesNo(e.Authentic))
}

func position(r dispatch.Sealed) string { return fmt.Sprintf("%d@%d", r.Partition, r.Offset) }

func short(digest string) string { return digest[:min(len(digest), minDigest)] }

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// printable keeps a forged record from writing to the terminal what it likes.
func printable(s string) string { return printableUpTo(s, 64) }

func printableUpTo(s string, most int) string {
	for _, b := range []byte(s) {
		if b <= ' ' || b > '~' || len(s) > most {
			return strconv.QuoteToASCII(s[:min(len(s), most)])
		}
	}
	return s
}
