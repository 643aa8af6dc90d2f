package store

import (
	"cmp"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"awareid-gateway/internal/event"
)

// readRun reads the answer of claimsScript to some questions. A claim whose alias
// or queue could not be asked for is none: it may be another event's, or another's
// turn.
func readRun(answers []claimAnswer, calls []claimCall, asked []question, cmd *redis.Cmd) {
	if len(asked) == 0 {
		return // they were asked once more
	}
	replies, err := cmd.Slice()
	if err == nil && len(replies) != 1+len(asked) {
		err = fmt.Errorf("%d answers to %d questions", len(replies)-1, len(asked))
	}
	for i, q := range asked {
		a := &answers[q.of]
		if err != nil {
			a.err = cmp.Or(a.err, err)
			continue
		}
		a.read(&calls[q.of], q.kind, replies[0], replies[1+i])
	}
}

func (a *claimAnswer) read(call *claimCall, kind kind, now, reply any) {
	switch kind {
	case aClaim:
		*a = readClaim(call, now, reply)
	case anAlias:
		a.readAlias(&call.claim, reply)
	case aQueue:
		a.claim.Queued = reply == int64(1)
	}
}

var verdicts = map[string]event.Verdict{
	"granted":   event.Granted,
	"inherited": event.Inherited,
	"busy":      event.Busy,
	"delivered": event.Delivered,
}

var errNotARecord = errors.New("record cannot be read")

// readClaim reads what claimsScript answers to a claim, and when.
func readClaim(call *claimCall, now, reply any) claimAnswer {
	if reply == int64(1) {
		return granted(call, now)
	}
	fields, err := texts(reply)
	if err != nil {
		return claimAnswer{err: err}
	}
	if len(fields) != 9 {
		return claimAnswer{err: fmt.Errorf("record of %d fields", len(fields))}
	}
	n, err := numbers(fields[4:8])
	verdict := verdicts[fields[8]]
	if err != nil || verdict == 0 {
		return claimAnswer{err: errNotARecord}
	}

	rec := record{
		Token: fields[0], State: event.State(fields[1]), Replica: fields[2],
		Topic: fields[3], Partition: int(n[0]),
		FromOffset: n[1], Offset: n[2], LeaseUntil: n[3],
	}
	return claimAnswer{claim: rec.event(call.claim.Key), verdict: verdict}
}

// granted answers a claim that nobody had made.
func granted(call *claimCall, now any) claimAnswer {
	at, ok := now.(int64)
	if !ok {
		return claimAnswer{err: errNotARecord}
	}
	c := call.claim
	return claimAnswer{verdict: event.Granted, claim: event.Claim{
		Key: c.Key, Token: c.Token, State: event.Claimed, Replica: c.Replica,
		Place: c.Place, FromOffset: c.FromOffset, LeaseUntil: time.UnixMilli(at).Add(call.terms.Lease.Truncate(tick)),
	}}
}

// readAlias reads what claimsScript answers to an alias.
func (a *claimAnswer) readAlias(c *event.Claim, reply any) {
	a.claim.Alias = c.Alias
	switch owner := reply.(type) {
	case int64:
		a.claim.AliasOf, a.claim.AliasFetched = c.Key, c.Fetched
	case string:
		a.claim.AliasOf, a.claim.AliasFetched = ownedBy(c.Alias, owner)
	default:
		a.err = cmp.Or(a.err, errNotARecord)
	}
}

func texts(reply any) ([]string, error) {
	all, ok := reply.([]any)
	if !ok {
		return nil, errNotARecord
	}
	fields := make([]string, len(all))
	for i, field := range all {
		if fields[i], ok = field.(string); !ok {
			return nil, errNotARecord
		}
	}
	return fields, nil
}

// numbers reads whole numbers; a field that is not there is 0.
func numbers(fields []string) ([]int64, error) {
	n := make([]int64, len(fields))
	for i, field := range fields {
		if field == "" {
			continue
		}
		var err error
		if n[i], err = strconv.ParseInt(field, 10, 64); err != nil {
			return nil, err
		}
	}
	return n, nil
}
