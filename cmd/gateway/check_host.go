package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"awareid-gateway/internal/config"
)

const (
	// slowSync is what an answer can wait for its event's sync without being
	// much later for it.
	slowSync = 50 * time.Millisecond
	// otherFiles is what the process opens beside its public connections:
	// brokers, Redis, the platform, the spool, the admin listener.
	otherFiles = 256
)

// checkHost looks at what the machine gives: the spool's volume, file descriptors.
func checkHost(cfg config.Config, r *report) {
	if limit, ok := descriptorLimit(); ok && limit < uint64(max(cfg.HTTPMaxConnections, 0)+otherFiles) { // #nosec G115 -- not negative
		r.warn("host", fmt.Sprintf("the process may open %d files, and HTTP_MAX_CONNECTIONS=%d and %d others want more: raise the limit (LimitNOFILE, ulimit -n) or set fewer connections",
			limit, cfg.HTTPMaxConnections, otherFiles))
	}
	if cfg.SpoolDir != config.SpoolNone {
		checkVolume(existingPart(cfg.SpoolDir), cfg.SpoolMaxBytes, r)
	}
}

// existingPart is the folder itself, or the one that it will be made in.
func existingPart(dir string) string {
	for {
		if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) || dir == filepath.Dir(dir) {
			return dir
		}
		dir = filepath.Dir(dir)
	}
}

// checkVolume judges the volume of a folder that is there.
func checkVolume(dir string, wanted int64, r *report) {
	v, err := volumeOf(dir)
	if err == nil {
		judgeVolume(dir, v, wanted, r)
	}
	took, err := timeSync(dir)
	switch {
	case err != nil:
		r.fail("spool", fmt.Errorf("cannot write to %s: %w", dir, err))
	case took > slowSync:
		r.warn("spool", fmt.Sprintf("a sync to %s took %s: every answer 202 waits for one; use a faster volume", dir, took.Round(time.Millisecond)))
	}
}

// volume is what the system says of a file system.
type volume struct {
	free     uint64 // bytes for this user
	fleeting string // why it does not outlive the process's container or machine; "" where it may
}

func judgeVolume(dir string, v volume, wanted int64, r *report) {
	if v.free < uint64(max(wanted, 0)) { // #nosec G115 -- not negative
		r.warn("spool", fmt.Sprintf("the volume of %s has %d bytes free, SPOOL_MAX_BYTES is %d: it would be full first; lower the one or make room", dir, v.free, wanted))
	}
	if v.fleeting != "" {
		r.warn("spool", fmt.Sprintf("%s is on %s: acknowledged events in it would be lost with it; put it on a persistent volume", dir, v.fleeting))
	}
}

// timeSync leaves nothing behind.
func timeSync(dir string) (took time.Duration, err error) {
	file, err := os.CreateTemp(dir, ".check-*")
	if err != nil {
		return 0, err
	}
	defer func() {
		err = errors.Join(err, file.Close(), os.Remove(file.Name()))
	}()
	if _, err := file.Write(make([]byte, 4096)); err != nil {
		return 0, err
	}
	began := time.Now()
	err = file.Sync()
	return time.Since(began), err
}
