package main

import (
	"errors"
	"time"
)

// pick chooses the ways that a fault befalls.
type pick func(d draw) []*link

// networkFaults are what can befall the ways to a service.
func networkFaults(service string, links pick) []fault {
	return []fault{
		{"cut off " + service, between(links, cut)},
		{"nothing passes to or from " + service, between(links, silence)},
		{"slow " + service, between(links, slow)},
		{"swallow the answers of " + service, between(links, swallow)},
	}
}

// misdeed does something to a way for a time, and undoes it.
type misdeed func(d draw) func(l *link, wait func()) error

// between does the same to some ways at the same time.
func between(links pick, what misdeed) drawing {
	return func(d draw) harm {
		some, length := links(d), d.length()
		h := harm{}
		for _, l := range some {
			h.targets = append(h.targets, l.name)
		}
		do := what(d)
		h.do = func() error {
			errs := make(chan error, len(some))
			for _, l := range some {
				go func() { errs <- do(l, func() { time.Sleep(length) }) }()
			}
			var all error
			for range some {
				all = errors.Join(all, <-errs)
			}
			return all
		}
		return h
	}
}

// cut ends connections and refuses new ones.
func cut(draw) func(*link, func()) error {
	return func(l *link, wait func()) error {
		err := l.cut()
		wait()
		return errors.Join(err, l.open())
	}
}

// silence keeps connections, and loses whatever is sent on them.
func silence(draw) func(*link, func()) error { return poison(swallowRequests, swallowAnswers) }

// swallow lets requests pass and loses the answers.
func swallow(draw) func(*link, func()) error { return poison(swallowAnswers) }

func poison(toxics ...toxic) func(*link, func()) error {
	return func(l *link, wait func()) error {
		if err := l.add(toxics...); err != nil {
			return err
		}
		wait()
		return l.reopen()
	}
}

// slow delays everything, and in one case of two lets little pass at a time.
func slow(d draw) func(*link, func()) error {
	latency := 20 + d.IntN(700) // ms
	toxics := []toxic{delay("upstream", latency, latency/2), delay("downstream", latency, latency/2)}
	if d.IntN(2) == 0 {
		rate := 100 + d.IntN(400) // KiB/s
		toxics = append(toxics, narrow("upstream", rate), narrow("downstream", rate))
	}
	return poison(toxics...)
}
