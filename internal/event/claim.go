package event

import "time"

// State says how far the delivery of a claimed event has come.
type State string

// The states of a claim, in the order in which a delivery passes them.
const (
	Claimed State = "claimed" // somebody delivers it, or died doing so
	Spooled State = "spooled" // it is on a replica's disk, to be delivered from there
	Done    State = "done"    // Kafka has acknowledged it
)

// Place is one partition of a topic.
type Place struct {
	Topic     string
	Partition int
}

// Claim is the record that says who delivers an event and where to. It is made
// before the first byte goes to Kafka and outlives its lease, so that whoever
// finds it later knows which part of which partition to read to learn whether
// the event arrived.
type Claim struct {
	Key     string // webhook id, "/", event id: see Event.ClaimKey
	Token   string // names one attempt; a repeated call with it changes nothing
	State   State
	Replica string // who claims it, for an operator's eyes; "" once it is Done
	Queue   string // the queue to look at beside the claim, see Ticket; "": none
	Queued  bool   // somebody stands in that queue
	Memory  string // id of the store's memory that answered, see Memory; "": it forgets nothing
	Alias   string // another name of the event, of the same webhook: see Event.AliasKey; "": none
	AliasOf string // key of the event that the alias belongs to, the first one that was claimed with it
	// Fetched says that the event was fetched from the platform, and not called
	// back: the claimer's word, which the record does not keep. AliasFetched says
	// so of the one that the alias belongs to.
	Fetched, AliasFetched bool

	Place
	FromOffset int64     // the record cannot lie before this offset
	Offset     int64     // where the record is; only with Done
	LeaseUntil time.Time // by the store's clock; only with Claimed
}

// Terms are the times that a claim is made under.
type Terms struct {
	Lease        time.Duration // how long the owner may act on the claim
	TakeoverWait time.Duration // how long after its lease nobody may inherit it
	Keep         time.Duration // how long the record is remembered at least
}

// Delivery tells the store that a claimed event is in Kafka.
type Delivery struct {
	Key    string
	Token  string
	Offset int64
	Place
	Keep time.Duration // how long it is remembered at least
	// LeaseUntil is what the claim was answered, where that was made to be remembered
	// for as long: until then a store need not set a time anew. Zero: unknown.
	LeaseUntil time.Time
	// Read: Kafka was read, so it is there whoever holds the claim.
	Read    bool
	Alias   string // belongs to this event from now on, whoever had it; "": leave aliases alone
	Fetched bool   // as in Claim
}

// Verdict is the store's answer to a claim.
type Verdict int

// The verdicts.
const (
	// Granted: nobody had it. The caller delivers it.
	Granted Verdict = iota + 1
	// Inherited: its owner's lease ended without an outcome. The claim is the
	// caller's now, at the place and from the offset of the first owner, and
	// the caller must read the partition back before it produces.
	Inherited
	// Busy: somebody else's lease runs, or it waits in somebody's spool.
	Busy
	// Delivered: Kafka has it.
	Delivered
)

// Ticket is a place in the queue of an operation. While events of an operation
// wait in a spool, on whichever replica, those that come later wait behind
// them.
type Ticket struct {
	Queue string    // see Event.QueueKey
	ID    string    // unique
	At    time.Time // by the store's clock, about; earlier is ahead
	// Within: the store's own time counts, if that is no more than this later
	// than At. It leaves no doubt about which of two replicas was first.
	Within time.Duration
}

// Standing is what the store answers to a ticket.
type Standing struct {
	At    time.Time // of the ticket
	First string    // id of the ticket that stands first in its queue
}

// Memory says since when a store remembers. A store that may have lost claims
// begins a new one.
type Memory struct {
	ID    string
	Age   time.Duration // since it began, by the store's clock
	Reach time.Duration // how far back before that it was restored from Kafka
}

// Roster says which replicas the store has heard of lately.
type Roster struct {
	Now      time.Time // by the store's clock
	FirstEnd time.Time // of the leases of others that have not ended; zero: there is none
	Knew     bool      // the one who asks had been heard of, and not been forgotten since
	Present  []string  // the others whose lease lasts
	Absent   []string  // those whose lease has ended
}
