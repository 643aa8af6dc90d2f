// Package store remembers which events are claimed or delivered. It is what
// makes "once" out of "at least once": whoever wants to deliver an event claims
// it first, and of all who ask, one is granted it. Section 5 of the design is
// the source of the rules.
//
// Redis serves any number of replicas, File serves one process that has none.
// Both keep the same promises, and one test suite holds them to it:
//
//   - A claim is granted to one token at a time. After its lease, and after the
//     wait that the next claimer asks for, it can be inherited, with the place
//     and the offset of the first owner: the record of an attempt outlives its
//     lease, so that its outcome can be read back. A spooled claim is never
//     inherited while it is remembered.
//   - A delivered event stays delivered. What was confirmed is remembered for at
//     least the time to keep of the confirmation.
//   - Every call may be repeated with the same token, by a caller or by a client
//     library that lost the reply, and is answered as the first one was.
//   - All times are those of one clock: the server's, or the local one of File.
//     A Claim that is Granted or Inherited, and a Renew that succeeds, leave a
//     lease that lasts at least as long as asked for, from when the call began.
//   - Granted or Inherited is told only after the record is stored.
//   - An alias belongs to the event that was the first to be claimed with it, and
//     to no other as long as it is remembered, which is at least the time to keep
//     of every claim that was made with it, whatever became of that claim. It is
//     not given up with a claim: what is delivered under that name is decided by
//     the claim on its owner.
//
// What survives: File syncs every change to disk before it answers. Redis keeps
// what its own persistence and replication keep: a master that fails over may
// have forgotten its last second, and an eviction policy other than noeviction
// may forget anything. Both show here as events that were never claimed; the
// former, as a restart and a flush, begins a new Memory, the latter does not show.
//
// An event takes 288 bytes of Redis' memory while it is claimed and 256 once it is
// delivered (Redis 7.0.15, a key of 69 characters), for as long as it is kept: a
// million events take a quarter of a GB. In the file it takes 840 bytes. An alias
// adds 223 bytes in Redis, and 420 in the file.
//
// It also remembers which transaction numbers of a webhook have not come, as the
// gaps between those that have, and what was done about them. 10,000,000 numbers
// with a hole in every hundred take 12 MiB of Redis' memory, and never more than
// 200,000 gaps are kept: see [Redis.See]. This part has no promise of its own when
// Redis loses its memory: what was missing then is forgotten.
//
// Nothing here makes a decision about Kafka, and no error holds a token, a
// password or a key.
package store

import (
	"errors"
	"strings"
	"time"

	"awareid-gateway/internal/event"
)

// The errors that a caller can tell apart. Any other error says that the store
// could not be asked, or that its answer was lost: the outcome is unknown then,
// and the call may be repeated.
var (
	// ErrLocked means that another process has the file open.
	ErrLocked = errors.New("claim file is in use by another process")
	// ErrFormat means that a file is not a claim file, or one of another version.
	ErrFormat = errors.New("not a claim file of this version")
	// ErrURL means that a Redis URL cannot be used.
	ErrURL = errors.New("bad Redis URL")
	// ErrInvalid means that a claim or a delivery lacks its key, its token or
	// one of its times, that its token or its topic has a line break, or that its
	// alias is of another webhook. Stored, it would break a promise of this package.
	ErrInvalid = errors.New("incomplete claim")
)

// tick is the resolution of all stored times. A shorter time would be stored as
// none, and a record that is kept for no time at all protects nothing.
const tick = time.Millisecond

// withLease has a claim and its alias remembered for a lease longer than asked for: a
// confirmation within the lease finds the claim kept for long enough, and a server that
// has no time to set has less to do.
func withLease(terms event.Terms) event.Terms {
	terms.Keep += terms.Lease
	return terms
}

func checkClaim(c event.Claim, terms event.Terms) error {
	if c.Key == "" || !isLine(c.Token) || strings.Contains(c.Topic, "\n") || terms.Lease < tick || terms.TakeoverWait < 0 || terms.Keep < tick || !aliasFits(c.Alias, c.Key) {
		return ErrInvalid
	}
	return nil
}

func checkDeliveries(done []event.Delivery) error {
	for _, d := range done {
		if d.Key == "" || !isLine(d.Token) || strings.Contains(d.Topic, "\n") || d.Keep < tick || !aliasFits(d.Alias, d.Key) {
			return ErrInvalid
		}
	}
	return nil
}

func isLine(text string) bool { return text != "" && !strings.Contains(text, "\n") }

// An alias is kept with the key of its owner, without the webhook in front: that
// is the alias' own, and half of the key.

func aliasFits(alias, key string) bool {
	return alias == "" || strings.HasPrefix(key, webhookOf(alias)) && webhookOf(alias) != ""
}

// webhookOf is the webhook that a key begins with, and the slash behind it.
func webhookOf(key string) string { return key[:strings.IndexByte(key, '/')+1] }

// idOf is the rest of a key.
func idOf(key string) string { return key[strings.IndexByte(key, '/')+1:] }

// ownerOf is an alias' owner as it is kept: a letter that says where the event came
// from, and the rest of its key.
func ownerOf(key string, fetched bool) (from, id string) {
	if fetched {
		return "f", idOf(key)
	}
	return "c", idOf(key)
}

// ownedBy takes it apart again.
func ownedBy(alias, owner string) (key string, fetched bool) {
	if owner == "" {
		return "", false
	}
	return webhookOf(alias) + owner[1:], owner[0] == 'f'
}
