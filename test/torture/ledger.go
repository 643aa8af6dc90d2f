package main

import (
	"bufio"
	"fmt"
	"hash/crc32"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

// ledger knows of every event that was ever sent, in a few bytes each. What was
// answered, and where records are, is in its journal, one line each.
type ledger struct {
	began time.Time

	mu         sync.Mutex
	events     []event // by number
	operations []operation
	tally      map[string]int // answers by what they say
	lastAck    time.Time
	longest    time.Duration // without a 2xx
	journal    *os.File
	lines      *bufio.Writer
	observe    func(answer) // nil: nobody
}

// event is what has to be known of each.
type event struct {
	operation uint32
	checksum  uint32 // of the body; 0 until it was sent
	offset    uint32 // of its first record
	code      uint16 // of the first 2xx; 0: none
	partition uint8  // of its first record
	topic     uint8  // of its first record, an index of topicNames
	copies    uint8  // records
}

func (e event) sent() bool         { return e.checksum != 0 }
func (e event) acknowledged() bool { return e.code != 0 }

// operation is a run of events that are sent one after the other.
type operation struct {
	first  uint32 // number of its first event
	length uint8
	family uint8 // index of kinds
}

// kinds are the types of an operation's events, by family.
var kinds = [][]string{
	{"enrollment.started", "enrollment.face.check", "enrollment.voice.check", "enrollment.completed"},
	{"authentication.started", "authentication.face.check", "authentication.completed"},
	{"reenrollment.started", "reenrollment.completed"},
	{"unheardof.happened"},
}

// topicNames are those of the families, in the same order, and the quarantine.
var topicNames = []string{"awareid.enrollment", "awareid.authentication", "awareid.reenrollment", "awareid.other", "awareid.quarantine"}

func newLedger(journal string) (*ledger, error) {
	file, err := os.Create(journal)
	if err != nil {
		return nil, err
	}
	return &ledger{began: time.Now(), tally: map[string]int{}, journal: file, lines: bufio.NewWriter(file)}, nil
}

// eventID and operationToken are how the gateways know them.
func eventID(number int) string       { return fmt.Sprintf("e%07d", number) }
func operationToken(index int) string { return fmt.Sprintf("op-%d", index) }

// parse returns the number of an event that has a place in the ledger.
func (l *ledger) parse(id string) (number int, ok bool) {
	if n, err := fmt.Sscanf(id, "e%d", &number); n != 1 || err != nil || eventID(number) != id {
		return 0, false
	}
	return number, number < len(l.events)
}

// open reserves the numbers of an operation's events.
func (l *ledger) open(family, length int) (index int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	index = len(l.operations)
	l.operations = append(l.operations, operation{first: uint32(len(l.events)), length: uint8(length), family: uint8(family)})
	for range length {
		l.events = append(l.events, event{operation: uint32(index)})
	}
	return index
}

// parcel is an event on its way.
type parcel struct {
	number int
	body   []byte
}

// write makes the event that an operation sends next.
func (l *ledger) write(index, sequence int) parcel {
	l.mu.Lock()
	defer l.mu.Unlock()
	o := l.operations[index]
	number, types := int(o.first)+sequence, kinds[o.family]
	body := fmt.Appendf(nil, `{"id":%q,"created":%q,"type":%q,"operationToken":%q,"username":"nobody","data":{"transactionNum":%d}}`,
		eventID(number), time.Now().Format("2006-01-02T15:04:05.000-0700"), types[sequence%len(types)], operationToken(index), number)
	l.events[number].checksum = checksum(body)
	return parcel{number, body}
}

func checksum(body []byte) uint32 { return max(crc32.ChecksumIEEE(body), 1) }

// answer is one response, or its absence.
type answer struct {
	at, took time.Duration // at: when it was sent, since the start of the run
	gateway  int
	code     int    // 0: none
	word     string // the status of the body, or what went wrong
}

func (a answer) acknowledges() bool { return a.code/100 == 2 && a.word != "quarantined" }

// kind is a word of a small vocabulary.
func (a answer) kind() string {
	switch {
	case a.code/100 == 2:
		return fmt.Sprint(a.code, " ", a.word)
	case a.code != 0:
		return fmt.Sprint(a.code)
	}
	return "none"
}

// answered notes an answer.
func (l *ledger) answered(number int, a answer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tally[a.kind()]++
	if l.observe != nil {
		l.observe(a)
	}
	fmt.Fprintf(l.lines, "%s sent t=%.3fs to gateway-%d, after %.3fs: %d %s\n",
		eventID(number), a.at.Seconds(), a.gateway, a.took.Seconds(), a.code, strings.ReplaceAll(a.word, "\n", " "))
	if !a.acknowledges() {
		return
	}
	if e := &l.events[number]; !e.acknowledged() {
		e.code = uint16(a.code)
	}
	now := time.Now()
	l.longest = max(l.longest, now.Sub(l.lastAck))
	l.lastAck = now
}

// waitBegins says that a 2xx can be expected from now on.
func (l *ledger) waitBegins() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lastAck = time.Now()
}

// lookUp returns the journal's lines about some events, in order of time.
func (l *ledger) lookUp(numbers ...int) (lines map[int][]string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.lines.Flush(); err != nil {
		return nil, err
	}
	file, err := os.Open(l.journal.Name())
	if err != nil {
		return nil, err
	}
	defer file.Close()
	lines = map[int][]string{}
	for s := bufio.NewScanner(file); s.Scan(); {
		id, rest, _ := strings.Cut(s.Text(), " ")
		if n, ok := l.parse(id); ok && slices.Contains(numbers, n) {
			lines[n] = append(lines[n], rest)
		}
	}
	return lines, nil
}
