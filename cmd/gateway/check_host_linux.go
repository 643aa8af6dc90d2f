package main

import "golang.org/x/sys/unix"

// descriptorLimit is how many files the process may have open.
func descriptorLimit() (uint64, bool) {
	var limit unix.Rlimit
	err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit)
	return limit.Cur, err == nil
}

func volumeOf(dir string) (volume, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return volume{}, err
	}
	v := volume{free: s.Bavail * uint64(max(s.Bsize, 0))} // #nosec G115 -- not negative
	switch s.Type {
	case unix.TMPFS_MAGIC, unix.RAMFS_MAGIC:
		v.fleeting = "a file system in memory"
	case unix.OVERLAYFS_SUPER_MAGIC:
		v.fleeting = "a container's own layer (overlay)"
	}
	return v, nil
}
