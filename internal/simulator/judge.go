package simulator

import (
	"crypto/sha256"
	"errors"
	"fmt"
)

// Judge compares what a Kafka consumer read with the truth about a run, for a
// receiver that also fetches what was lost: every event is there once, byte for
// byte, and nothing else is. It returns nil, or an error that counts what is off.
func Judge(deliveries []Delivery, records []Record) error {
	copies := make(map[string]int, len(deliveries))
	truth := make(map[string]Delivery, len(deliveries))
	for _, d := range deliveries {
		truth[d.ID] = d
	}
	foreign, altered := 0, 0
	for _, r := range records {
		id := r.Header("ce_id")
		d, known := truth[id]
		switch {
		case !known:
			foreign++
			continue
		case sha256.Sum256(r.Value) != d.Digest:
			altered++
		}
		copies[id]++
	}
	missing, twice := 0, 0
	for id := range truth {
		missing += one(copies[id] == 0)
		twice += one(copies[id] > 1)
	}
	var errs []error
	for _, off := range []struct {
		n    int
		what string
	}{{missing, "not in Kafka"}, {twice, "there more than once"}, {altered, "altered"}, {foreign, "of no event of this run"}} {
		if off.n > 0 {
			errs = append(errs, fmt.Errorf("%d %s", off.n, off.what))
		}
	}
	return errors.Join(errs...)
}
