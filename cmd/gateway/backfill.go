package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"awareid-gateway/internal/backfill"
	"awareid-gateway/internal/event"
)

type backfillCmd struct {
	Webhook string        `placeholder:"NAME" help:"Name or id of the webhook; not needed if there is only one, or for what is missing of all."`
	From    *uint64       `placeholder:"N" help:"First transaction number."`
	To      *uint64       `placeholder:"M" help:"Last transaction number."`
	List    []string      `placeholder:"A,B,C" help:"These transaction numbers, which need not be numeric."`
	Since   time.Duration `placeholder:"2h" help:"What was found missing since then."`
	DryRun  bool          `help:"Ask and check, and dispatch nothing."`
	JSON    bool          `name:"json" help:"Print the result as JSON."`

	Status        bool `xor:"what" help:"Show what is missing, and whether fetching pauses, and fetch nothing."`
	Unrecoverable bool `xor:"what" help:"List the numbers that were given up, and fetch nothing."`
	Resume        bool `xor:"what" help:"End a pause of the running gateway, and fetch nothing."`
	Restart       bool `xor:"what" help:"Forget what is known of the webhook's numbers, begin anew with the next one that comes, and fetch nothing."`
}

// Help says what is fetched, and when it is done.
func (backfillCmd) Help() string {
	return "Reads the same variables as serve, asks AwareID's event-data API for the numbers, and dispatches what comes with origin backfill. Without a selection it fetches whatever is missing now, numbers that were given up among it, and does not wait for BACKFILL_GRACE. What is in Kafka already is a duplicate, so it may be repeated. It can run beside the gateway, if that has REDIS_URL; with STORE_FILE use the admin API of the gateway, /api/backfill, or stop it. The exit code is 1 if anything did not come or could not be dispatched.\n\nOne callback with a number far above all others makes all between them missing, and fetching pauses for ever longer. --restart drops the numbers that are missing, to be asked for again, or given up, and the pause, and prints how many there were; what is then missing below the next number has to be fetched with --from and --to. With several webhooks it wants --webhook."
}

// Validate refuses a selection where nothing is fetched.
func (c *backfillCmd) Validate() error {
	if c.asksNothing() && (c.From != nil || c.To != nil || len(c.List) > 0 || c.Since != 0 || c.DryRun) {
		return errors.New("--status, --unrecoverable, --resume and --restart fetch nothing, and take no selection")
	}
	return nil
}

func (c *backfillCmd) asksNothing() bool {
	return c.Status || c.Unrecoverable || c.Resume || c.Restart
}

var (
	errNoPlatform  = usageError{errors.New("AWAREID_BASE_URL is not set: there is no platform to fetch from")}
	errUnrecovered = errors.New("not every number could be recovered")
)

// Run fetches, or tells.
func (c *backfillCmd) Run(ctx context.Context, io streams) (err error) {
	w, err := openWard(io)
	if err != nil {
		return err
	}
	defer w.close()
	if !w.cfg.Platform.Configured() {
		return errNoPlatform
	}
	a, err := c.open(ctx, w)
	defer func() { err = errors.Join(err, a.letGo(ctx)) }()
	if err != nil {
		return err
	}
	switch b := a.filling.backfiller; {
	case c.Status:
		return c.status(ctx, b, io.out)
	case c.Unrecoverable:
		return c.unrecoverable(ctx, b, io.out)
	case c.Resume:
		return asUsage(b.Resume(ctx, c.Webhook))
	case c.Restart:
		return c.restart(ctx, b, io.out)
	default:
		return c.fetch(ctx, b, io)
	}
}

// open opens what is needed: Kafka only where something may be dispatched.
func (c *backfillCmd) open(ctx context.Context, w *ward) (a *app, err error) {
	if c.asksNothing() || c.DryRun {
		a = &app{cfg: w.cfg, log: w.log}
		if a.store, err = openClaims(w.cfg); err == nil {
			err = a.store.Ping(ctx)
		}
	} else {
		a, err = w.openDispatcher(ctx)
	}
	if err != nil {
		return a, err
	}
	a.filling, err = newFilling(a, prometheus.NewRegistry())
	return a, err
}

func (c *backfillCmd) fetch(ctx context.Context, b *backfill.Backfiller, io streams) error {
	p := &progress{out: io.err, terminal: isTerminal(io.err), told: time.Now()}
	summary, err := b.Fill(ctx, backfill.Request{
		Webhook: c.Webhook, From: c.From, To: c.To, List: c.List, Since: c.Since, DryRun: c.DryRun,
	}, p.show)
	p.end()
	switch {
	case c.JSON:
		json.NewEncoder(io.out).Encode(summary)
	case summary.Requests > 0 || err == nil:
		printSummary(io.out, summary)
	}
	if err != nil {
		return asUsage(err)
	}
	if !summary.Complete() {
		return errUnrecovered
	}
	return nil
}

// asUsage marks what is wrong with the command line.
func asUsage(err error) error {
	if errors.Is(err, backfill.ErrRequest) || errors.Is(err, backfill.ErrUnknownWebhook) {
		return usageError{err}
	}
	return err
}

func printSummary(out io.Writer, s backfill.Summary) {
	parts := []string{fmt.Sprintf("%d numbers asked for in %d requests", s.Asked, s.Requests)}
	for _, o := range backfill.Outcomes() {
		if n := s.Outcomes[o]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, strings.ReplaceAll(string(o), "_", " ")))
		}
	}
	for _, r := range slices.Sorted(maps.Keys(s.Refused)) {
		parts = append(parts, fmt.Sprintf("%d refused as %s", s.Refused[r], r))
	}
	fmt.Fprintln(out, strings.Join(parts, ", "))
	if len(s.Unrecovered) > 0 {
		names := make([]string, len(s.Unrecovered))
		for i, n := range s.Unrecovered {
			names[i] = printable(n)
		}
		fmt.Fprintln(out, "not recovered:", strings.Join(names, ","))
	}
}

func (c *backfillCmd) status(ctx context.Context, b *backfill.Backfiller, out io.Writer) error {
	all, err := b.Status(ctx, c.Webhook)
	if err != nil {
		return asUsage(err)
	}
	if c.JSON {
		return json.NewEncoder(out).Encode(all)
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "WEBHOOK\tFIRST\tNEXT\tMISSING\tRETRYING\tUNRECOVERABLE\tPAUSED UNTIL")
	for _, s := range all {
		first, next, until := "-", "-", "-"
		if s.Begun {
			first, next = fmt.Sprint(s.First), fmt.Sprint(s.Next)
		}
		if s.Paused() {
			until = s.Until.UTC().Format(time.RFC3339)
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%d\t%d\t%d\t%s\n", s.ID, first, next, s.Missing, s.Retrying, s.Unrecoverable, until)
	}
	return table.Flush()
}

func (c *backfillCmd) restart(ctx context.Context, b *backfill.Backfiller, out io.Writer) error {
	dropped, err := b.Restart(ctx, c.Webhook)
	if err != nil {
		return asUsage(err)
	}
	if c.JSON {
		return json.NewEncoder(out).Encode(dropped)
	}
	if !dropped.Begun {
		fmt.Fprintf(out, "%s: nothing was known\n", dropped.ID)
		return nil
	}
	fmt.Fprintf(out, "%s: dropped the numbers %d to %d, of which %d were missing, %d to be asked for again, %d given up\n",
		dropped.ID, dropped.First, dropped.Next-1, dropped.Missing, dropped.Retrying, dropped.Unrecoverable)
	return nil
}

// maxListed bounds the list of the unrecoverable, as the store does.
const maxListed = 10_000

func (c *backfillCmd) unrecoverable(ctx context.Context, b *backfill.Backfiller, out io.Writer) error {
	gaps, err := b.Unrecoverable(ctx, c.Webhook, maxListed)
	if err != nil {
		return asUsage(err)
	}
	if c.JSON {
		return json.NewEncoder(out).Encode(backfill.Documents(gaps))
	}
	for _, g := range gaps {
		fmt.Fprintf(out, "%s  missing since %s\n", rangeOf(g), g.Since.UTC().Format(time.RFC3339))
	}
	return nil
}

func rangeOf(g event.Gap) string {
	if g.First == g.Last {
		return fmt.Sprint(g.First)
	}
	return fmt.Sprintf("%d-%d", g.First, g.Last)
}

// progress shows how far a fetch is: in one line of a terminal, and elsewhere in
// a new line from time to time.
type progress struct {
	out      io.Writer
	terminal bool
	told     time.Time
	shown    bool // in a line that is not ended
}

const barWidth = 30

func (p *progress) show(s backfill.Summary) {
	line := fmt.Sprintf("%d of %d numbers, %d came", s.Asked, s.Total, s.Came())
	switch {
	case p.terminal:
		done := int(barWidth * float64(s.Asked) / float64(max(s.Total, 1)))
		fmt.Fprintf(p.out, "\r[%s%s] %s\x1b[K", strings.Repeat("#", done), strings.Repeat(".", barWidth-done), line)
		p.shown = true
	case time.Since(p.told) >= progressEvery:
		p.told = time.Now()
		fmt.Fprintln(p.out, line)
	}
}

func (p *progress) end() {
	if p.shown {
		fmt.Fprintln(p.out)
	}
}

// isTerminal says whether somebody may be watching.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
