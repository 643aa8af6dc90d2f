package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
)

// disk is a folder, on a small file system of its own where that is possible.
type disk struct {
	path  string
	small bool
}

const (
	diskBytes   = 64 << 20
	largeBytes  = 1 << 30 // what may go to a disk that is not small
	fillerBytes = 1 << 20 // written at a time
)

func newDisk(b *bench, name string) (*disk, error) {
	path, err := b.folder(name)
	if err != nil {
		return nil, err
	}
	d := &disk{path: path}
	if isolated() {
		d.small = syscall.Mount("tmpfs", path, "tmpfs", 0, fmt.Sprintf("size=%d,mode=700", diskBytes)) == nil
	}
	return d, nil
}

// room is what a spool may take.
func (d *disk) room() int64 {
	if d.small {
		return diskBytes * 3 / 4
	}
	return largeBytes
}

func (d *disk) unmount() {
	if d.small {
		syscall.Unmount(d.path, syscall.MNT_DETACH)
	}
}

func (d *disk) filler() string { return filepath.Join(d.path, "filler") }

// fill leaves so many bytes free.
func (d *disk) fill(leave int64) error {
	file, err := os.Create(d.filler())
	if err != nil {
		return err
	}
	defer file.Close()
	block := make([]byte, fillerBytes)
	for err == nil {
		_, err = file.Write(block)
	}
	if !errors.Is(err, syscall.ENOSPC) {
		return err
	}
	size, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	return file.Truncate(max(0, size-leave))
}

func (d *disk) free() error { return os.Remove(d.filler()) }

const isolatedVariable = "TORTURE_ISOLATED"

func isolated() bool { return os.Getenv(isolatedVariable) != "" }

// isolate runs this program again in a mount namespace of its own, where that is
// allowed: what is mounted there is gone with the last process in it, however
// that ended. It is false where it is not allowed.
func isolate() (code int, done bool) {
	if isolated() || os.Geteuid() != 0 {
		return 0, false
	}
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), isolatedVariable+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	if cmd.Start() != nil {
		return 0, false
	}
	go func() {
		for s := range signals {
			cmd.Process.Signal(s)
		}
	}()
	if err := cmd.Wait(); err != nil {
		return 1, true
	}
	return 0, true
}
