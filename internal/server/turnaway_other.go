//go:build !linux

package server

import (
	"errors"
	"syscall"
)

// turnAwayNew is for Linux alone: elsewhere who connects in the last moment may
// be cut.
func turnAwayNew(syscall.Conn) error { return errors.ErrUnsupported }
