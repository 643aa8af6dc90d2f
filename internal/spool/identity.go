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

// identityForm is that of rand.Text, with a line's end.
var identityForm = regexp.MustCompile(`^[A-Z2-7]{26,}\n$`)

// identify returns the id of a directory, which it makes if there is none. One
// that a crash left unfinished is made anew.
func identify(dir string) (string, error) {
	path := filepath.Join(dir, identityFile)
	text, err := os.ReadFile(path)
	if err == nil && identityForm.Match(text) {
		return string(text[:len(text)-1]), nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("read the spool's id: %w", err)
	}
	id := rand.Text()
	if err := os.WriteFile(path, []byte(id+"\n"), 0o600); err != nil {
		return "", fmt.Errorf("write the spool's id: %w", err)
	}
	return id, nil
}
