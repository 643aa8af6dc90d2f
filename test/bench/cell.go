package main

import (
	"fmt"
	"slices"
)

// cell is one setting that servers are compared in.
type cell struct {
	connections int
	size        int    // bytes of the event, before it is encrypted
	cipher      string // as the simulator's schemes name them
}

func (c cell) String() string {
	cipher := c.cipher
	if cipher == plain {
		cipher = "plain"
	}
	return fmt.Sprintf("%d connections, events of %d KiB, %s", c.connections, c.size>>10, cipher)
}

// plain is the scheme's name for no cipher.
const plain = "none"

var (
	usual = cell{connections: 64, size: 1 << 10, cipher: "gcm"}

	connections = []int{1, 64, 256}
	sizes       = []int{1 << 10, 16 << 10, 256 << 10}
	ciphers     = []string{"gcm", "cbc", plain}
)

// settings are those to compare in.
func (o options) settings() []cell {
	all := everyCell()
	switch {
	case o.cells != nil:
		return slices.DeleteFunc(all, func(c cell) bool { return !o.cells.MatchString(c.String()) })
	case o.quick:
		return []cell{usual}
	case o.full:
		return all
	}
	return slices.DeleteFunc(all, func(c cell) bool { return c.differences() > 1 })
}

func everyCell() (all []cell) {
	for _, n := range connections {
		for _, size := range sizes {
			for _, cipher := range ciphers {
				all = append(all, cell{n, size, cipher})
			}
		}
	}
	return all
}

// differences are the settings in which a cell is not the usual one.
func (c cell) differences() (n int) {
	for _, differs := range []bool{c.connections != usual.connections, c.size != usual.size, c.cipher != usual.cipher} {
		if differs {
			n++
		}
	}
	return n
}
