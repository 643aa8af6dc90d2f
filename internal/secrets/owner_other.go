//go:build !unix

package secrets

import (
	"io/fs"
	"os"
)

// passOn leaves file to whoever made it.
func passOn(*os.File, fs.FileInfo) error { return nil }
