// Command gateway receives AwareID's webhooks and hands every event exactly
// once and in order to Kafka. Run it with --help.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"

	"awareid-gateway/internal/simulator"
)

// What the binary is made from; set by the linker: -X main.version=….
var (
	version  = "dev"
	revision string // the commit
)

// Exit codes.
const (
	exitOK     = 0
	exitFailed = 1 // the work could not be done, or its result is bad
	exitUsage  = 2 // the command line or the configuration is wrong
)

// usageError marks what is wrong with the command line or the configuration.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// commands is the command line: a file for each command.
type commands struct {
	Serve      serveCmd      `cmd:"" default:"withargs" help:"Receive webhooks and forward them to Kafka (the default)."`
	Dev        devCmd        `cmd:"" help:"Try everything on this machine, with nothing but this binary."`
	Check      checkCmd      `cmd:"" help:"Check the configuration and every dependency."`
	Send       sendCmd       `cmd:"" help:"Sign, encrypt and post one sample event."`
	Simulate   simulateCmd   `cmd:"" help:"Stand in for AwareID: token, registration, event data, callbacks."`
	Inspect    inspectCmd    `cmd:"" help:"Find out from one captured request how the platform signs and encrypts."`
	Webhook    webhookCmd    `cmd:"" help:"Register webhooks on the platform, and rotate their secrets."`
	Quarantine quarantineCmd `cmd:"" help:"List, show and replay what is in quarantine."`
	Backfill   backfillCmd   `cmd:"" help:"Fetch events that did not come, by their transaction numbers."`
	Reconcile  reconcileCmd  `cmd:"" help:"Compare what the platform knows with the events in Kafka."`
	Version    versionCmd    `cmd:"" help:"Print the version."`
}

// streams is the world around a command, so that tests can be it.
type streams struct {
	environ []string
	out     io.Writer // results
	err     io.Writer // logs, errors, progress
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	os.Exit(run(ctx, os.Args[1:], streams{environ: os.Environ(), out: os.Stdout, err: os.Stderr}))
}

// run does what the arguments say and returns the exit code.
func run(ctx context.Context, args []string, io streams) int {
	var cmds commands
	exited := -1 // set by kong for --help
	parser, err := kong.New(&cmds,
		kong.Name("gateway"),
		kong.Description("Receives AwareID's webhooks, checks their signature, decrypts them, drops repeats, and hands every event exactly once and in order to Kafka.\n\nIt is configured by environment variables; config.example.env lists them all."),
		kong.Writers(io.out, io.err),
		kong.Exit(func(code int) { exited = code }),
		kong.UsageOnError(),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.Vars{"signatureHeader": simulator.DefaultSignatureHeader, "repeat": "0.2", "tamper": "0.1"},
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(io),
	)
	if err != nil {
		fmt.Fprintln(io.err, "gateway:", err)
		return exitFailed
	}
	command, err := parser.Parse(args)
	switch {
	case exited >= 0:
		return exited
	case err != nil:
		fmt.Fprintf(io.err, "gateway: %v\nTry gateway --help.\n", err)
		return exitUsage
	}
	return exitCode(command.Run(), io.err)
}

func exitCode(err error, w io.Writer) int {
	if err == nil {
		return exitOK
	}
	fmt.Fprintln(w, "gateway:", err)
	if errors.As(err, new(usageError)) {
		return exitUsage
	}
	return exitFailed
}
