package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"

	"awareid-gateway/internal/batch"
	"awareid-gateway/internal/event"
)

// OldestVersion is the major version of Redis from which on it knows all that is asked of
// it: SET with KEEPTTL.
const OldestVersion = 6

const (
	// maxClaims bounds one round trip of claims, and with it how long those who come
	// meanwhile wait for it.
	maxClaims = 256
	// claimTimeout bounds one round trip of claims with its retries: those who
	// ask meanwhile wait for it.
	claimTimeout = 3 * time.Second
)

// Redis remembers claims in a Redis server, a Sentinel group or a Cluster, of
// version 6.0 or later. Claims that are made while others are on their way to the
// server share the next round trip. It is safe for concurrent use.
type Redis struct {
	client  redis.UniversalClient
	cluster bool // its keys are on several nodes
	login   login
	place   place
	prefix  string // of claims
	aliases string // prefix of aliases
	queues  string // prefix of queues
	mark    string // key of the mark of its memory
	roster  string // key of the replicas' leases
	leaders string // prefix of tasks that one replica does
	numbers string // prefix of transaction numbers

	rotations string // prefix of what is known of rotations of secrets
	claims    *batch.Group[claimCall, claimAnswer]

	processes processes
}

type claimCall struct {
	claim event.Claim
	terms event.Terms
}

type claimAnswer struct {
	claim   event.Claim
	verdict event.Verdict
	err     error // of this claim alone: the nodes of a cluster fail one by one
}

// OpenRedis returns a store on the Redis that url names, in one of the forms
//
//	redis://user:password@host:6379/0
//	redis+sentinel://user:password@host1:26379,host2:26379/0?master_name=NAME
//	redis+cluster://user:password@host1:6379,host2:6379
//
// or with rediss for TLS. User and password are those of Redis itself; Sentinels
// that want some get sentinel_username and sentinel_password. Other parameters
// are those of go-redis, such as pool_size. Dialing, reading and writing time out
// after 2 s each unless the parameters say otherwise, and end with the context.
//
// Every key starts with namespace and a colon. OpenRedis connects to nothing: use
// Ping for that. It switches off the log of go-redis, in the whole process. It
// returns ErrURL, without any part of the URL in its text.
func OpenRedis(url, namespace string) (*Redis, error) {
	r := &Redis{
		prefix: namespace + ":claim:", aliases: namespace + ":alias:", queues: namespace + ":queue:",
		mark: namespace + ":memory", roster: namespace + ":replicas",
		leaders:   namespace + ":leader:",
		rotations: namespace + ":rotation:",
		numbers:   namespace + ":numbers:",
		processes: processes{met: map[string]bool{}},
	}
	var err error
	if r.place, err = placeOf(url); err != nil {
		return nil, err
	}
	if r.client, err = newClient(url, &r.login, r.processes.meet); err != nil {
		return nil, err
	}
	_, r.cluster = r.client.(*redis.ClusterClient)
	// It writes every failed dial to standard error, past our logger and in floods,
	// and returns the same errors to us. It has no other switch than this global.
	logging.Disable()

	r.claims = batch.New(maxClaims, r.claimAll)
	r.claims.WhenLate(r.giveBack)
	return r, nil
}

// For separates what belongs to one deployment from others that share the
// server: the mark of its memory, which Kafka's topics of that name restore, the
// roster of its replicas and their tasks. Claims, queues and rotations are by
// webhook, and need no such thing. It must be called before any other method.
func (r *Redis) For(deployment string) {
	r.mark += ":" + deployment
	r.roster += ":" + deployment
	r.leaders += deployment + ":"
}

// Ping reports whether Redis answers.
func (r *Redis) Ping(ctx context.Context) error {
	if err := r.client.Ping(ctx).Err(); err != nil {
		return fmt.Errorf("ping Redis: %w", err)
	}
	return nil
}

// Close closes all connections. Calls that are under way fail.
func (r *Redis) Close() error {
	if err := r.client.Close(); err != nil {
		return fmt.Errorf("close Redis: %w", err)
	}
	return nil
}

// Claim asks to deliver an event. It returns the verdict and the record as it is
// now: with Granted and Inherited the caller's own, whose place and offset are
// those of the first owner; with Busy the present owner's; with Delivered that of
// the delivery. State, Offset and LeaseUntil of c do not matter.
//
// Where c names a queue, Queued says whether somebody stands in it. Memory names
// the memory that the claim was made in, as in Redis.Memory. Where c has an alias,
// AliasOf is the key of the event that it belongs to: that of c, unless another
// event was the first. The verdict is on c itself in any case. All is told in one
// round trip; in a cluster claim and alias can lie on two nodes, which are asked
// side by side, so one of the two may be made and the other fail.
//
// A repeated call with the same token gets the same verdict until the event is
// delivered, and then Delivered.
//
// It returns ErrInvalid, or the error of Redis; then it is unknown whether the
// claim was made. After an error of ctx a claim that is made nevertheless is
// given up again.
func (r *Redis) Claim(ctx context.Context, c event.Claim, terms event.Terms) (event.Claim, event.Verdict, error) {
	if err := checkClaim(c, terms); err != nil {
		return event.Claim{}, 0, err
	}
	answer, err := r.claims.Do(ctx, claimCall{c, terms})
	if err == nil {
		err = answer.err
	}
	if err != nil {
		return event.Claim{}, 0, fmt.Errorf("claim in Redis: %w", err)
	}
	return answer.claim, answer.verdict, nil
}

// Renew makes the lease of a claim last at least that long from now, and reports
// whether the claim is still the token's and neither spooled nor delivered. A
// lease that is over can be renewed as long as nobody has inherited the claim.
func (r *Redis) Renew(ctx context.Context, key, token string, lease time.Duration) (bool, error) {
	ok, err := r.ask(ctx, renewScript, r.prefix+key, token, lease.Milliseconds())
	if err != nil {
		return false, fmt.Errorf("renew claim in Redis: %w", err)
	}
	return ok, nil
}

// Spool notes that a claimed event is on the claimer's disk: from now on nobody
// inherits the claim. It reports whether the claim is still the token's.
func (r *Redis) Spool(ctx context.Context, key, token string) (bool, error) {
	ok, err := r.ask(ctx, spoolScript, r.prefix+key, token)
	if err != nil {
		return false, fmt.Errorf("spool claim in Redis: %w", err)
	}
	return ok, nil
}

// Release gives a claim up, so that the next one is granted at once, or inherited
// at once if this one was inherited: then only the first owner's place in Kafka
// tells what became of the event. It must be called only when it is certain that
// the token's own attempt did not bring the event to Kafka and will not.
// A claim that is delivered, or no longer the token's, is left as it is.
func (r *Redis) Release(ctx context.Context, key, token string) error {
	if _, err := r.ask(ctx, releaseScript, r.prefix+key, token); err != nil {
		return fmt.Errorf("release claim in Redis: %w", err)
	}
	return nil
}

// giveBack releases a claim whose caller has gone. Its release could not be
// left to the caller: it might overtake the claim, which would then stay.
func (r *Redis) giveBack(call claimCall, answer claimAnswer) {
	if answer.err != nil || answer.verdict != event.Granted && answer.verdict != event.Inherited {
		return
	}
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), claimTimeout)
		defer cancel()
		_ = r.Release(ctx, call.claim.Key, call.claim.Token) // else it ends with its lease
	}()
}

// memoryOf returns the id of the memory that claims were just made in.
func (r *Redis) memoryOf(ctx context.Context, mark *redis.StringCmd) (string, error) {
	id, err := mark.Result()
	if err == nil && len(r.processes.strangers()) == 0 {
		return id, nil
	}
	if err != nil && !errors.Is(err, redis.Nil) {
		return "", err
	}
	m, err := r.Memory(ctx)
	return m.ID, err
}
