package simulator

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"time"
)

// Outcome is what a post came to, by the gateway's table of answers.
type Outcome string

// The outcomes. Failed is all else: no answer within every attempt, 5xx or 429
// to the last, a redirect, or a 2xx that says none of the known words.
const (
	Accepted    Outcome = "accepted"
	Duplicate   Outcome = "duplicate"
	Spooled     Outcome = "spooled"
	Quarantined Outcome = "quarantined"
	Rejected    Outcome = "rejected" // 4xx
	Failed      Outcome = "failed"
)

// Kind says which post of an event an answer is for.
type Kind string

// The kinds of post.
const (
	Genuine Kind = "genuine"
	Repeat  Kind = "repeat"
	Forged  Kind = "forged"
)

// Answer is the end of one post.
type Answer struct {
	EventID   string
	Type      string
	Kind      Kind
	Tampering Tampering // of a forged one
	Outcome   Outcome
	Status    int           // HTTP status of the last attempt; 0 without an answer
	Attempts  int           // HTTP requests made
	Took      time.Duration // from the first attempt to the last answer
	Err       error         // transport error of the last attempt
}

// Delivery is the truth about one event.
type Delivery struct {
	ID             string
	Type           string
	OperationToken string
	TransactionNum int64
	Digest         [sha256.Size]byte // SHA-256 of the event in plaintext
	Lost           bool
	Reordered      bool // held back until after the next event of its operation
	Answers        []Answer
}

// Taken reports whether the receiver took the platform's own post or its repeat
// for an event that is, or will be, in Kafka.
func (d Delivery) Taken() bool {
	for _, a := range d.Answers {
		if a.Kind != Forged && a.taken() {
			return true
		}
	}
	return false
}

func (a Answer) taken() bool {
	return a.Outcome == Accepted || a.Outcome == Duplicate || a.Outcome == Spooled
}

func (d Delivery) count(o Outcome) int {
	n := 0
	for _, a := range d.Answers {
		if a.Kind != Forged && a.Outcome == o {
			n++
		}
	}
	return n
}

// Tally is the sum of a run. Sent is the sum of the six outcomes.
type Tally struct {
	Events    int // made
	Lost      int // of these never sent
	Reordered int // of these held back
	Repeats   int // posts that were repeats
	Forged    int // posts that were forged

	Sent     int // posts that came to an end
	Attempts int // HTTP requests

	Accepted, Duplicate, Spooled, Quarantined, Rejected, Failed int

	Taken       int // events that Kafka must hold once, by the answers
	Twice       int // events answered "accepted" more than once
	ForgedTaken int // forged posts answered 2xx
}

func (t *Tally) addDelivery(d Delivery) {
	t.Events++
	t.Lost += one(d.Lost)
	t.Reordered += one(d.Reordered)
	t.Taken += one(d.Taken())
	t.Twice += one(d.count(Accepted) > 1)
}

func (t *Tally) addAnswer(a Answer) {
	t.Sent++
	t.Attempts += a.Attempts
	t.Repeats += one(a.Kind == Repeat)
	t.Forged += one(a.Kind == Forged)
	t.ForgedTaken += one(a.Kind == Forged && a.Status/100 == 2)
	switch a.Outcome {
	case Accepted:
		t.Accepted++
	case Duplicate:
		t.Duplicate++
	case Spooled:
		t.Spooled++
	case Quarantined:
		t.Quarantined++
	case Rejected:
		t.Rejected++
	default:
		t.Failed++
	}
}

func one(b bool) int {
	if b {
		return 1
	}
	return 0
}

// Expected is how many events a receiver without fault takes: all that were sent.
func (t Tally) Expected() int { return t.Events - t.Lost }

// Check judges a run against a receiver without fault: it takes every event that
// was sent, accepts none twice, and rejects what is forged and nothing else. It
// returns nil or an error that names each number that is off.
func (t Tally) Check() error {
	var errs []error
	want := func(name string, got, want int) {
		if got != want {
			errs = append(errs, fmt.Errorf("%s: %d, want %d", name, got, want))
		}
	}
	want("events taken", t.Taken, t.Expected())
	want("events accepted twice", t.Twice, 0)
	want("forged posts taken", t.ForgedTaken, 0)
	want("rejected posts", t.Rejected, t.Forged)
	want("quarantined posts", t.Quarantined, 0)
	want("failed posts", t.Failed, 0)
	return errors.Join(errs...)
}
