package main

import (
	"syscall"
	"time"
)

// suspend stops processes and lets them go on.
func suspend(length time.Duration, targets ...*process) func() error {
	return func() error {
		for _, p := range targets {
			p.signal(syscall.SIGSTOP)
		}
		time.Sleep(length)
		for _, p := range targets {
			p.signal(syscall.SIGCONT)
		}
		return nil
	}
}

// stopPatience is beyond the HTTP_SHUTDOWN_TIMEOUT of a gateway.
const stopPatience = 35 * time.Second

// restart ends processes by a signal and starts them again on the same data.
func restart(s syscall.Signal, pause time.Duration, targets ...*process) func() error {
	return func() error {
		for _, p := range targets {
			if _, err := p.end(s, stopPatience); err != nil {
				return err
			}
		}
		time.Sleep(pause)
		for _, p := range targets {
			if err := p.start(); err != nil {
				return err
			}
		}
		return nil
	}
}

func names(targets []*process) (list []string) {
	for _, p := range targets {
		list = append(list, p.name)
	}
	return list
}
