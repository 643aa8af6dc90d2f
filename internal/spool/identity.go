package spool

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
)

// identityFile holds the id of a directory. Whoever puts its segments elsewhere
// need not take it along: an id says where, not what.
const identityFile = "ID"

// farewellFile is there while whoever uses the directory is not waited for.
const farewellFile = "FAREWELL"

// identityForm is that of rand.Text, with a line's end.
var identityForm = regexp.MustCompile(`^[A-Z2-7]{26,}\n$`)

// identify learns the id of the directory, which it makes if there is none, and
// what is said of it. An id that a crash left unfinished is made anew.
func (l *Log) identify() error {
	_, err := os.Stat(filepath.Join(l.dir, farewellFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read the spool's farewell: %w", err)
	}
	l.farewell = err == nil
	path := filepath.Join(l.dir, identityFile)
	text, err := os.ReadFile(path)
	if err == nil && identityForm.Match(text) {
		l.id = string(text[:len(text)-1])
		return nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read the spool's id: %w", err)
	}
	l.id, l.fresh = rand.Text(), true
	if err := os.WriteFile(path, []byte(l.id+"\n"), 0o600); err != nil {
		return fmt.Errorf("write the spool's id: %w", err)
	}
	return nil
}

// ID names the directory among all spools, for as long as it exists.
func (l *Log) ID() string { return l.id }

// Fresh says that the directory had no id when it was opened: nobody has heard of
// it.
func (l *Log) Fresh() bool { return l.fresh }

// SetFarewell notes, for who opens the directory next, whether the others have
// been told not to wait for what may come into it.
func (l *Log) SetFarewell(said bool) error {
	path := filepath.Join(l.dir, farewellFile)
	var err error
	if said {
		err = os.WriteFile(path, nil, 0o600)
	} else if err = os.Remove(path); errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if err != nil {
		return fmt.Errorf("note the farewell in the spool: %w", err)
	}
	return nil
}

// Farewell says whether they had been told so when the directory was opened.
func (l *Log) Farewell() bool { return l.farewell }
