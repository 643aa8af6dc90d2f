package main

import (
	"errors"
	"syscall"
	"time"
)

// suspend stops processes and lets them go on.
func suspend(length time.Duration, targets ...*process) func() error {
	return func() error {
		err := each(targets, (*process).suspend)()
		time.Sleep(length)
		return errors.Join(err, each(targets, (*process).resume)())
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
		return each(targets, (*process).start)()
	}
}

// each does something to all, until it fails.
func each[T any](all []T, do func(T) error) func() error {
	return func() error {
		for _, one := range all {
			if err := do(one); err != nil {
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
