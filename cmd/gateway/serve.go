package main

import (
	"context"
	"fmt"
	"log/slog"
	"strings"

	"awareid-gateway/internal/config"
	"awareid-gateway/internal/telemetry"
)

type serveCmd struct{}

// Help lists the variables. Lines that begin with a tab are printed as they
// are, unless what follows looks like a list.
func (serveCmd) Help() string {
	var b strings.Builder
	b.WriteString("Environment variables. A secret NAME can also come from the file that NAME_FILE names.\n")
	for _, v := range config.Variables() {
		fmt.Fprintf(&b, "\n\t%s", v.Name)
		if v.Default != "" {
			fmt.Fprintf(&b, "=%s", v.Default)
		}
		if v.Required {
			b.WriteString(" (required)")
		}
		fmt.Fprintf(&b, "\n\t    %s", v.Description)
	}
	return b.String()
}

// Run serves until the context ends.
func (serveCmd) Run(ctx context.Context, io streams) error {
	cfg, log, err := configure(io)
	if err != nil {
		return err
	}
	limitMemory(cfg)
	a, err := open(ctx, cfg, log)
	if err != nil {
		return fmt.Errorf("start: %w", err)
	}
	l, err := listen(cfg)
	if err != nil {
		a.close(ctx)
		return fmt.Errorf("start: %w", err)
	}
	return a.serve(ctx, l)
}

// configure loads the configuration and says in the log what it is, without
// secrets.
func configure(io streams) (config.Config, *slog.Logger, error) {
	cfg, warnings, err := config.Load(io.environ)
	if err != nil {
		return cfg, nil, usageError{err}
	}
	log := telemetry.NewLogger(io.err, cfg.LogLevel, cfg.LogFormat == config.LogText).With("replica", cfg.ReplicaID)
	log.LogAttrs(context.Background(), slog.LevelInfo, "starting",
		slog.String("version", version), slog.Attr{Key: "config", Value: slog.GroupValue(cfg.Summary()...)})
	for _, w := range warnings {
		log.Warn(w)
	}
	return cfg, log, nil
}
