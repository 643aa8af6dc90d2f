package main

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"sync"
)

// result is what came of an attack.
type result struct {
	Answers     map[int]int       // by status
	Accepted    map[string]digest // events with a 200: each must be in Kafka once, with this value
	Forbidden   []string          // ids of events that must not be in Kafka
	Quarantined int               // different bodies with that answer: so many records must be in the quarantine
	Unexpected  []string          // the first answers of a kind that should not be
	Surprises   int               // all of them
	Made        int               // connections, where they are what an attack counts
	Note        string            // how far the attack got
}

// digest tells values of records apart.
type digest [8]byte

func digestOf(value []byte) digest {
	sum := sha256.Sum256(value)
	return digest(sum[:len(digest{})])
}

// report collects a result. Safe for concurrent use.
type report struct {
	allowed []int

	mu          sync.Mutex
	r           result
	quarantined map[digest]bool
}

func newReport(allowed []int) *report {
	return &report{allowed: allowed, r: result{Answers: map[int]int{}, Accepted: map[string]digest{}}, quarantined: map[digest]bool{}}
}

// shownSurprises bounds what is told of unexpected answers.
const shownSurprises = 10

// answered counts an answer, which must be one of those that the attack may get.
func (r *report) answered(status int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.r.Answers[status]++
	if !slices.Contains(r.allowed, status) {
		r.surprise("%s where it may be %v", statusText(status), r.allowed)
	}
}

// judged counts an answer to a case whose answer is known.
func (r *report) judged(name string, want, status int, body string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.r.Answers[status]++
	if status != want {
		r.surprise("%s: %s in place of %s: %.200s", name, statusText(status), statusText(want), body)
	}
}

func (r *report) wrong(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.surprise(format, args...)
}

func (r *report) surprise(format string, args ...any) {
	if r.r.Surprises++; len(r.r.Unexpected) < shownSurprises {
		r.r.Unexpected = append(r.r.Unexpected, fmt.Sprintf(format, args...))
	}
}

// took notes what an answer promises of an event and of the body that it came in.
func (r *report) took(word, id string, event, body []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch word {
	case "accepted", "spooled":
		r.r.Accepted[id] = digestOf(event)
	case "quarantined":
		r.quarantined[digestOf(body)] = true
	}
}

func (r *report) forbid(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.r.Forbidden = append(r.r.Forbidden, id)
}

func (r *report) made(connections int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.r.Made = connections
}

func (r *report) note(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.r.Note = fmt.Sprintf(format, args...)
}

// result is a copy, so that who is late changes nothing.
func (r *report) result() result {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.r
	c.Quarantined = len(r.quarantined)
	c.Answers, c.Accepted = maps.Clone(c.Answers), maps.Clone(c.Accepted)
	c.Forbidden, c.Unexpected = slices.Clone(c.Forbidden), slices.Clone(c.Unexpected)
	return c
}

func statusText(status int) string {
	if status == none {
		return "no answer"
	}
	return fmt.Sprint(status)
}

// classes are answers by their class.
type classes struct {
	OK          int `json:"2xx"`
	ClientError int `json:"4xx"`
	ServerError int `json:"5xx"`
	None        int `json:"none"`
}

func (c *classes) add(status, n int) {
	switch status / 100 {
	case 2:
		c.OK += n
	case 4:
		c.ClientError += n
	case 5:
		c.ServerError += n
	default:
		c.None += n
	}
}

func (c classes) String() string {
	return fmt.Sprintf("%d/%d/%d/%d", c.OK, c.ClientError, c.ServerError, c.None)
}

// requests is how many were answered or cut off; of an attack that counts them,
// connections made.
func (r result) requests() (n int) {
	for _, times := range r.Answers {
		n += times
	}
	return max(n, r.Made)
}

func (r result) classes() (c classes) {
	for status, n := range r.Answers {
		c.add(status, n)
	}
	return c
}
