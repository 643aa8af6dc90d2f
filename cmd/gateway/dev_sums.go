package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"awareid-gateway/internal/event"
	"awareid-gateway/internal/simulator"
)

// record is called for each record that the consumer reads.
func (d *devRun) record(r simulator.Record) {
	d.print(fmt.Sprintf("KAFKA %s/%d@%d key=%s ce_type=%s ce_id=%s %s",
		r.Topic, r.Partition, r.Offset, r.Key, r.Header("ce_type"), r.Header("ce_id"), shorten(r.Value)))
	d.mu.Lock()
	defer d.mu.Unlock()
	d.read++
	if r.Header("ce_source") == event.Source(d.simulated.ID) {
		d.seen[r.Header("ce_id")]++
	}
	close(d.change)
	d.change = make(chan struct{})
}

// valueWidth is how much of a record's value a line shows.
const valueWidth = 100

func shorten(value []byte) string {
	if len(value) <= valueWidth {
		return string(value)
	}
	return string(value[:valueWidth]) + "…"
}

func (d *devRun) print(line string) {
	if d.cmd.Quiet {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	fmt.Fprintln(d.out, line)
}

// catchUpTimeout is how long the consumer may take to read what is there.
const catchUpTimeout = 15 * time.Second

// catchUp waits until the consumer has read as many records as Kafka holds.
func (d *devRun) catchUp(ctx context.Context, consumer *simulator.Consumer) error {
	ctx, cancel := context.WithTimeout(ctx, catchUpTimeout)
	defer cancel()
	total, err := consumer.Total(ctx)
	if err != nil {
		return err
	}
	for {
		d.mu.Lock()
		read, change := d.read, d.change
		d.mu.Unlock()
		if read >= total {
			return nil
		}
		select {
		case <-change:
		case <-ctx.Done():
			return fmt.Errorf("the consumer read %d of %d records", read, total)
		}
	}
}

// judge prints the sums and says whether they agree.
func (d *devRun) judge(t simulator.Tally) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	records := 0
	for _, n := range d.seen {
		records += n
	}
	err := t.Check()
	if len(d.seen) != t.Expected() || records != t.Expected() {
		err = errors.Join(err, fmt.Errorf("in Kafka: %d records of %d events, want %d", records, len(d.seen), t.Expected()))
	}
	verdict := "the sums agree"
	if err != nil {
		verdict = "THE SUMS DO NOT AGREE"
	}
	fmt.Fprintf(d.out, "\nevents %d | sent %d = accepted %d + duplicate %d + rejected %d + other %d | in Kafka %d: %s\n",
		t.Expected(), t.Sent, t.Accepted, t.Duplicate, t.Rejected, t.Spooled+t.Quarantined+t.Failed, records, verdict)
	return err
}
