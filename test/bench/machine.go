package main

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
	"time"

	"github.com/prometheus/procfs"
)

// describeMachine says what was measured, where and when. What cannot be found
// out is left out.
func describeMachine() string {
	b := &strings.Builder{}
	fmt.Fprintf(b, "%s, commit %s, %s %s/%s\n%d CPUs", time.Now().UTC().Format("2006-01-02 15:04 UTC"), commit(),
		runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU())
	if fs, err := procfs.NewDefaultFS(); err == nil {
		describeHardware(b, fs)
	}
	if release, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		fmt.Fprintf(b, ", Linux %s", majorMinor(string(release)))
	}
	return b.String()
}

// majorMinor is what of a kernel's release bears on figures; the rest can name a
// build that is the machine's alone.
func majorMinor(release string) string {
	return kernelVersion.FindString(release)
}

var kernelVersion = regexp.MustCompile(`^\d+\.\d+`)

func describeHardware(b *strings.Builder, fs procfs.FS) {
	if cpus, err := fs.CPUInfo(); err == nil && len(cpus) > 0 {
		fmt.Fprintf(b, " (%s)", cpus[0].ModelName)
	}
	if memory, err := fs.Meminfo(); err == nil && memory.MemTotalBytes != nil {
		fmt.Fprintf(b, ", %d GiB", *memory.MemTotalBytes>>30)
	}
	if busy, err := fs.LoadAvg(); err == nil {
		fmt.Fprintf(b, ", load of the last minute %.1f", busy.Load1)
	}
}

func commit() string {
	out, err := exec.Command("git", "describe", "--always", "--dirty").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}
