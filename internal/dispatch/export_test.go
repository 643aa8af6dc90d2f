package dispatch

import (
	"time"

	"awareid-gateway/internal/event"
)

// Session is what a batch says of its producer.
type Session struct {
	ID       int64
	Epoch    int16
	Sequence int32
}

// EncodeBatch encodes records as a lane does.
func EncodeBatch(records []Record, s Session, now time.Time) []byte {
	batch := make([]*entry, len(records))
	for i, r := range records {
		batch[i] = newEntry(r, now, nil)
	}
	return encodeBatch(nil, batch, session{id: s.ID, epoch: s.Epoch, sequence: s.Sequence}, now)
}

// What the tests need to know of the encoder.
const BatchOverhead = batchOverhead

var NextSequence = nextSequence

// MaxSize exports maxSize.
func (r Record) MaxSize() int { return newEntry(r, time.Time{}, nil).maxSize() }

// SetContact makes a broker have answered last at t.
func (k *Kafka) SetContact(t time.Time) { k.contact.Store(t.UnixNano()) }

// ReadyFor is how long a broker may be silent.
const ReadyFor = 4 * watchEvery

// Verdicts of judge, in the words of the tests.
var (
	Stored        = stored
	NotStored     = notStored
	PerhapsStored = perhapsStored
	Denied        = denied
	Refused       = refused
	BrokenSession = brokenSession
)

// Judge exports judge.
var Judge = judge

// Advance tells of a partition's end, as a look or an acknowledgement does.
func (k *Kafka) Advance(at event.Place, end int64) { k.lane(at).advance(end) }

// Waiting is how many calls look for something in a partition.
func (k *Kafka) Waiting(at event.Place) int {
	s := k.searches.of(k, at)
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.waiting)
}

// Searching says that a goroutine reads a partition.
func (k *Kafka) Searching(at event.Place) bool {
	s := k.searches.of(k, at)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.running
}

// AgeSearches makes what is remembered of searches as old as it may be.
func (k *Kafka) AgeSearches() {
	memory := k.searches.memory
	for _, key := range memory.Keys() {
		p, _ := memory.Peek(key)
		p.at = p.at.Add(-rememberFor)
		memory.Add(key, p)
	}
}

// RewriteParcel reads an entry of the spool and writes it again.
func RewriteParcel(body []byte) ([]byte, error) {
	p, err := decodeParcel(1, body)
	if err != nil {
		return nil, err
	}
	p.delivery()
	return p.encode()
}
