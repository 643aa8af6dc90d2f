package secrets

import (
	"crypto/sha256"
	"fmt"
	"io"
	"os"
)

// maxFileBytes bounds what is read of a watched file: a bundle of certificates
// is the largest of them.
const maxFileBytes = 1 << 20

// File is what a variable names a file for, or what several files make together:
// a certificate and its key. It is read again like the files of webhook secrets.
type File struct {
	Name  string // of the variable, for the log and the metric
	Paths []string

	// Set puts the contents, at the index of their paths, in force. They are
	// overwritten when it returns. An error, which holds nothing of them, says why
	// those of before stay; Set is called again at each look then.
	Set func(contents [][]byte) error
}

// watchedFile is a File at work.
type watchedFile struct {
	File
	began   bool
	inForce [sha256.Size]byte
}

// readFiles puts what has changed in force. What was there at the first look was,
// but for a change since the start, in force already: it is set and not told.
func (w *Watcher) readFiles() {
	for _, f := range w.files {
		changed, err := f.read()
		if w.metrics.unread("", f.Name, err != nil) && err != nil {
			w.opts.Log.Error("a file of secrets cannot be used: what was there before stays in force", "variable", f.Name, "error", err)
		}
		if changed && f.began {
			w.opts.Log.Info("a changed file is in force", "variable", f.Name)
		}
		f.began = true
	}
}

// read reports whether something else is in force now.
func (f *watchedFile) read() (changed bool, err error) {
	contents, err := readAll(f.Paths)
	defer func() {
		for _, c := range contents {
			clear(c)
		}
	}()
	if err != nil {
		return false, err
	}
	digest := digestOf(contents)
	if digest == f.inForce {
		return false, nil
	}
	if err := f.Set(contents); err != nil {
		return false, err
	}
	f.inForce = digest
	return true, nil
}

func readAll(paths []string) (contents [][]byte, err error) {
	for _, path := range paths {
		content, err := readFile(path)
		contents = append(contents, content)
		if err != nil {
			return contents, err
		}
	}
	return contents, nil
}

// readFile leaves no copy of the content behind but the one it returns.
func readFile(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	content := make([]byte, 0, 8<<10) // seldom more: growing would leave copies behind
	for {
		if len(content) == cap(content) {
			content = grow(content)
		}
		n, err := file.Read(content[len(content):cap(content)])
		content = content[:len(content)+n]
		switch {
		case err == io.EOF:
			return content, nil
		case err != nil:
			return content, err
		case len(content) > maxFileBytes:
			return content, fmt.Errorf("%s holds more than %d bytes", path, maxFileBytes)
		}
	}
}

// grow doubles a buffer and overwrites the one it replaces.
func grow(b []byte) []byte {
	larger := append(make([]byte, 0, 2*cap(b)), b...)
	clear(b)
	return larger
}

// digestOf tells contents from others, without keeping them.
func digestOf(contents [][]byte) [sha256.Size]byte {
	var parts []byte
	for _, c := range contents {
		sum := sha256.Sum256(c)
		parts = append(parts, sum[:]...)
	}
	return sha256.Sum256(parts)
}
