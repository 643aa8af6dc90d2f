package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
	"text/tabwriter"
	"time"
)

// say tells of a row as soon as it is there.
func (s *suite) say(r row) {
	fmt.Fprintf(os.Stderr, "%s: honest p99 %v, lost %d, %d MiB, attacker %v %s\n", r.Attack, r.Honest.P99.Round(time.Microsecond), r.Honest.Lost, r.Memory>>20, r.Attacker, r.Note)
	for _, why := range r.Broken {
		fmt.Fprintln(os.Stderr, "    BROKEN:", why)
	}
}

// print prints the results. The exit code is 1 where a bound is broken.
func (s *suite) print() (code int) {
	r := s.results
	if s.json {
		encoder := json.NewEncoder(os.Stdout)
		encoder.SetIndent("", "  ")
		encoder.Encode(r)
	} else {
		s.printTable()
	}
	if r.bad() {
		return 1
	}
	return 0
}

func (r results) bad() bool {
	bad := len(r.Broken) > 0
	for _, row := range r.Rows {
		bad = bad || len(row.Broken) > 0
	}
	return bad
}

func (s *suite) printTable() {
	r := s.results
	over := "without TLS"
	if r.TLS {
		over = "over TLS"
	}
	fmt.Printf("%s\n%s; %s; %d honest events a second for %v each, %s\n\n", r.Machine, r.Version, s.services.name, s.rate, s.length, over)
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 1, ' ', 0)
	fmt.Fprintln(w, "| attack\t| honest 2xx/4xx/5xx/none\t| lost\t| p50 ms\t| p99 ms\t| × quiet\t| attacker 2xx/4xx/5xx/none\t| of it\t| RSS MiB\t| bodies MiB\t| 5xx\t| bounds\t|")
	fmt.Fprintln(w, "|---\t|---\t|---\t|---\t|---\t|---\t|---\t|---\t|---\t|---\t|---\t|---\t|")
	for _, row := range r.Rows {
		printRow(w, row)
	}
	w.Flush()
	k := r.Kafka
	fmt.Printf("\nKafka: %d events with a 2xx, %d records: %d lost, %d duplicated, %d altered, %d forbidden; %d in quarantine, %d missing\n",
		k.Events, k.Records, k.Lost, k.Duplicated, k.Altered, k.Forbidden, k.Quarantined, k.Missing)
	for _, name := range r.Skipped {
		fmt.Println("SKIPPED:", name)
	}
	for _, why := range r.Broken {
		fmt.Println("BROKEN:", why)
	}
}

func printRow(w *tabwriter.Writer, r row) {
	fmt.Fprintf(w, "| %s\t| %v\t| %d\t| %.1f\t| %.1f\t| %.1f\t| %v\t| %s\t| %d\t| %.1f\t| %d\t| %s\t|\n",
		r.Attack, r.Honest.Answers, r.Honest.Lost, milliseconds(r.Honest.P50), milliseconds(r.Honest.P99), r.Slowdown,
		r.Attacker, r.Note, r.Memory>>20, float64(r.BodyBytes)/(1<<20), r.Failures, r.bounds())
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

var processor = regexp.MustCompile(`model name\s*: (.+)`)

// machine says in a line what everything runs on.
func machine() string {
	name := "an unknown processor"
	if info, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		if m := processor.FindSubmatch(info); m != nil {
			name = string(m[1])
		}
	}
	ahead := "share them with the gateway: make abuse has them go ahead of it"
	if aheadOfAll() {
		ahead = "go ahead of the gateway, and it of the attackers"
	}
	load := ""
	if text, err := os.ReadFile("/proc/loadavg"); err == nil {
		load = ", load average before " + strings.Join(strings.Fields(string(text))[:2], " and ")
	}
	return fmt.Sprintf("%d processors (%s) for gateway, services, sender and attackers together%s; services and sender %s", runtime.NumCPU(), name, load, ahead)
}

// version is what the gateway says of itself.
func (g *gateway) version() string {
	out, err := exec.Command(g.binary, "version").Output()
	if err != nil {
		return "gateway of an unknown version"
	}
	return strings.TrimSpace(string(out))
}
