package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// profiler is a file that a gateway under examination has beside its own.
//
//go:embed profiler.go.txt
var profiler []byte

// overlay has go build see the profiler in the gateway's folder.
func (l *lab) overlay() (string, error) {
	source := filepath.Join(l.dir, "profiler.go")
	if err := os.WriteFile(source, profiler, 0o600); err != nil {
		return "", err
	}
	there, err := filepath.Abs("cmd/gateway/zz_profiler.go")
	if err != nil {
		return "", err
	}
	list, err := json.Marshal(map[string]any{"Replace": map[string]string{there: source}})
	if err != nil {
		return "", err
	}
	file := filepath.Join(l.dir, "overlay.json")
	return file, os.WriteFile(file, list, 0o600)
}

// profiles prints where each gateway's CPU time goes under the usual load, and
// keeps the profiles.
func (l *lab) profiles(ctx context.Context) error {
	l.length = l.profile + 2*time.Second // it begins before and ends after
	callbacks, err := l.signer(setting{}, usual.cipher).sign(l.volume(usual.size), usual.size)
	if err != nil {
		return err
	}
	for _, r := range l.gateways() {
		file := filepath.Join(l.out, strings.NewReplacer(", ", "-", "+", "-").Replace(r.name)+".pprof")
		if err := l.profileOne(ctx, r, callbacks, file); err != nil {
			return fmt.Errorf("%s: %w", r.name, err)
		}
		fmt.Printf("%s (%s)\n", r.name, file)
		for _, order := range []string{"-cum", "-flat"} {
			out, err := exec.Command("go", "tool", "pprof", "-top", order, "-nodecount=40", file).CombinedOutput()
			if err != nil {
				return fmt.Errorf("pprof: %w\n%s", err, out)
			}
			fmt.Printf("%s\n", out)
		}
	}
	return nil
}

func (l *lab) profileOne(ctx context.Context, r rival, callbacks []callback, file string) error {
	s, err := r.begin(ctx, setting{})
	if err != nil {
		return err
	}
	defer s.end(ctx)
	taken := make(chan error, 1)
	go func() { taken <- fetchProfile(ctx, s.profiled, l.profile, file) }()
	work := load{callbacks: callbacks, connections: usual.connections, length: l.length}
	f, err := s.observe(ctx, r, work)
	if err != nil {
		return err
	}
	fmt.Printf("%.0f events/s, %.2f CPU s for 10,000\n", f.rate, f.cpu)
	return <-taken
}

func fetchProfile(ctx context.Context, addr string, length time.Duration, file string) error {
	url := fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%.0f", addr, length.Seconds())
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("take the profile: %w", err)
	}
	defer answer.Body.Close()
	out, err := os.Create(file)
	if err != nil {
		return err
	}
	defer out.Close()
	_, err = io.Copy(out, answer.Body)
	return err
}
