package secrets

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"awareid-gateway/internal/config"
)

// markSuffix names the marker of a rotation beside a file of secrets.
const markSuffix = ".rotating"

// FileBoard is a file of secrets that a gateway watches, with a marker beside it.
// The clocks of whoever rotates and of the gateway must agree to a few seconds.
type FileBoard struct {
	Path string
	Form string // SECRET_FORM, for Lacks
}

// Mark writes the marker. It fails where the file of secrets could not be written
// either: then the platform had better not be asked.
func (b FileBoard) Mark(_ context.Context, who string, ttl time.Duration) (bool, error) {
	now := time.Now()
	if owner, until := b.readMark(); owner != who && now.Before(until) {
		return false, nil
	}
	content := who + " " + now.Add(ttl).UTC().Format(time.RFC3339Nano) + "\n"
	if err := writeFile(b.target()+markSuffix, b.target(), []byte(content), 0o644); err != nil {
		return false, fmt.Errorf("mark rotation beside the secrets file: %w", err)
	}
	owner, _ := b.readMark()
	return owner == who, nil
}

// Unmark removes the marker if it is who's.
func (b FileBoard) Unmark(_ context.Context, who string) error {
	if owner, _ := b.readMark(); owner != who {
		return nil
	}
	if err := os.Remove(b.target() + markSuffix); err != nil {
		return fmt.Errorf("unmark rotation beside the secrets file: %w", err)
	}
	return nil
}

// Lacks goes by what is in the file. One that cannot be read is to be written anew.
func (b FileBoard) Lacks(_ context.Context, used config.WebhookSecret, known []config.WebhookSecret) (bool, error) {
	all, err := config.ReadSecretsFile(b.target(), b.Form)
	if errors.Is(err, fs.ErrNotExist) {
		return endAfter(known, time.Now()), nil
	}
	return err != nil || indexOf(all, used) < 0, nil
}

// Tell replaces the secrets in the file. Who may read them does so by the file's
// mode alone: under does not matter.
func (b FileBoard) Tell(_ context.Context, n Notice, _ []config.WebhookSecret) error {
	return b.Write(n.Secrets)
}

// Write replaces the secrets, as one: whoever reads the file, even behind a power
// cut, reads the old ones or the new ones. A new file is the owner's alone; one
// that is replaced passes owner, group and mode on, for the gateway may read it as
// another user.
func (b FileBoard) Write(all []config.WebhookSecret) error {
	perm := fs.FileMode(0o600)
	if old, err := os.Stat(b.target()); err == nil {
		perm = old.Mode().Perm()
	}
	content := config.FormatSecrets(all).Reveal() + "\n"
	if err := writeFile(b.target(), b.target(), []byte(content), perm); err != nil {
		return fmt.Errorf("write the secrets file: %w", err)
	}
	return nil
}

// marked says whether the marker of a rotation that may still be under way is
// there.
func (b FileBoard) marked(now time.Time) bool {
	_, until := b.readMark()
	return now.Before(until)
}

// readMark returns nobody and the zero time where there is no marker.
func (b FileBoard) readMark() (who string, until time.Time) {
	content, err := os.ReadFile(b.target() + markSuffix)
	if err != nil {
		return "", time.Time{}
	}
	who, end, _ := strings.Cut(strings.TrimSpace(string(content)), " ")
	if until, err = time.Parse(time.RFC3339Nano, end); err != nil {
		return "", time.Time{}
	}
	return who, until
}

// target is the file itself where the path is a link to it.
func (b FileBoard) target() string {
	if path, err := filepath.EvalSymlinks(b.Path); err == nil {
		return path
	}
	return b.Path
}

// writeFile replaces a file by a complete one that belongs to the owner of like.
func writeFile(path, like string, content []byte, perm fs.FileMode) (err error) {
	folder := filepath.Dir(path)
	file, err := os.CreateTemp(folder, "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(file.Name()) // it may be in its place already
		}
	}()
	if err = fill(file, like, content, perm); err != nil {
		return err
	}
	if err = os.Rename(file.Name(), path); err != nil {
		return err
	}
	return syncFolder(folder)
}

func fill(file *os.File, like string, content []byte, perm fs.FileMode) error {
	err := func() error {
		if old, err := os.Stat(like); err == nil {
			if err := passOn(file, old); err != nil {
				return fmt.Errorf("give it to the owner of the file of before: %w", err)
			}
		}
		if err := file.Chmod(perm); err != nil {
			return err
		}
		if _, err := file.Write(content); err != nil {
			return err
		}
		return file.Sync()
	}()
	return errors.Join(err, file.Close())
}

func syncFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}
