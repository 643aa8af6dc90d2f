package event

import "time"

// GapKind says what is known of numbers that have not come.
type GapKind string

// The kinds of gaps.
const (
	Missing       GapKind = "missing"       // nobody has asked for them yet
	Retrying      GapKind = "retrying"      // asked for in vain, to be asked for again
	Unrecoverable GapKind = "unrecoverable" // asked for in vain too often
)

// GapKinds lists all kinds.
func GapKinds() []GapKind { return []GapKind{Missing, Retrying, Unrecoverable} }

// Gap is a run of transaction numbers of a webhook that have not come.
type Gap struct {
	First, Last uint64
	Since       time.Time // when it was found, by the store's clock
	Attempts    int       // requests in vain; kept while they are Retrying
}

// Len is how many numbers there are in the gap.
func (g Gap) Len() uint64 { return g.Last - g.First + 1 }

// Due are gaps that may be asked for now, each kind in ascending order.
type Due struct {
	Now     time.Time // by the store's clock
	Missing []Gap
	Retry   []Gap
}

// Postponement is what becomes of numbers that were asked for in vain.
type Postponement struct {
	First, Last uint64
	Attempts    int           // made so far
	Wait        time.Duration // until the next one
	GiveUp      bool          // there is no next one: they are Unrecoverable
}

// Pace says how requests for a webhook's numbers have gone.
type Pace struct {
	Asked, Came uint64    // numbers that were asked for the first time, and those of them that came, since the last judgement
	Pauses      int       // in a row
	Until       time.Time // nothing is asked for before that; zero: there is no pause
}

// Numbers is what a store knows of a webhook's transaction numbers.
type Numbers struct {
	Now   time.Time // by the store's clock
	Begun bool      // a number has come
	First uint64    // the least number from which on holes are known
	Next  uint64    // the one behind the largest that has come

	Missing, Retrying, Unrecoverable uint64 // counts of numbers, by kind

	GivenUp   uint64 // numbers that ever became Unrecoverable
	Forgotten uint64 // of these dropped from the list for want of room
	Merged    uint64 // times that a gap was not told from another for want of room
	Pace
}
