package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"
)

// errRefused says that there are runs without a figure.
var errRefused = errors.New("some runs were not as they should be, and have no figure")

// compare measures every rival in every cell. The rivals take turns, so that
// what else the machine does falls on all of them, and each round begins with
// another one.
func (l *lab) compare(ctx context.Context) error {
	rivals, refused := slices.DeleteFunc(l.rivals(), func(r rival) bool {
		return l.servers != nil && !l.servers.MatchString(r.name)
	}), false
	for _, c := range l.settings() {
		callbacks, err := l.signer(setting{}, c.cipher).sign(l.volume(c.size), c.size)
		if err != nil {
			return err
		}
		work := load{callbacks: callbacks, connections: c.connections, length: l.length, rate: l.rate}
		results := make([][]figures, len(rivals))
		for round := range l.rounds {
			for turn := range rivals {
				i := (turn + round) % len(rivals)
				fmt.Fprintf(os.Stderr, "%v: round %d, %s\n", c, round+1, rivals[i].name)
				f, err := l.measure(ctx, rivals[i], setting{}, work)
				if ctx.Err() != nil {
					return ctx.Err()
				}
				if err != nil {
					fmt.Fprintf(os.Stderr, "REFUSED: %v\n", err)
					refused = true
					continue
				}
				results[i] = append(results[i], f)
			}
		}
		l.printCell(c, rivals, results)
	}
	if refused {
		return errRefused
	}
	return nil
}

// printCell shows the medians. A rival of which one run was refused has none.
func (l *lab) printCell(c cell, rivals []rival, results [][]figures) {
	mode := "closed loop"
	if l.rate > 0 {
		mode = fmt.Sprintf("%.0f events/s at fixed times", l.rate)
	}
	t := table{
		title: fmt.Sprintf("%v, %s, medians of %d", c, mode, l.rounds),
		head:  []string{"", "events/s", "of bare", "of verify+parse", "p50 ms", "p99 ms", "p99.9 ms", "CPU s/10,000", "allocations", "peak MiB"},
	}
	base := map[string]float64{}
	for i, r := range rivals {
		if len(results[i]) < l.rounds {
			t.add(r.name, "refused")
			continue
		}
		m := medians(results[i])
		base[r.name] = m.rate
		t.add(r.name, fmt.Sprintf("%.0f", m.rate), ratio(m.rate, base[bareFiber]), ratio(m.rate, base[verifyParse]),
			millis(m.p50), millis(m.p99), millis(m.p999),
			fmt.Sprintf("%.2f", m.cpu), fmt.Sprintf("%.0f", m.allocations), fmt.Sprintf("%.0f", float64(m.peak)/(1<<20)))
	}
	t.print(l.markdown)
}

// ratio is empty where the base was not measured before.
func ratio(rate, base float64) string {
	if base == 0 {
		return ""
	}
	return fmt.Sprintf("%.2f", rate/base)
}

// medians are those of each figure by itself.
func medians(all []figures) figures {
	return figures{
		rate: median(all, func(f figures) float64 { return f.rate }),
		p50:  median(all, func(f figures) time.Duration { return f.p50 }),
		p99:  median(all, func(f figures) time.Duration { return f.p99 }),
		p999: median(all, func(f figures) time.Duration { return f.p999 }),
		cpu:  median(all, func(f figures) float64 { return f.cpu }),

		allocations: median(all, func(f figures) float64 { return f.allocations }),
		peak:        median(all, func(f figures) uint64 { return f.peak }),
	}
}
