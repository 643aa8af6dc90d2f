package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"awareid-gateway/internal/server"
	"awareid-gateway/internal/store"
)

const (
	// skewWarning is well above what a round trip can hide.
	skewWarning   = 2 * time.Second
	nearlyFull    = 0.8
	persistAdvice = "a restart forgets claims, and events wait in the spool until they are read back from Kafka: set appendonly yes"
)

// checkRedisCondition says what Redis may forget.
func checkRedisCondition(ctx context.Context, redis *store.Redis, r *report) {
	c, err := redis.Condition(ctx)
	switch {
	case err != nil:
		r.warn("store", "cannot tell whether Redis persists: "+err.Error())
	case c.Persistence == "off":
		r.warn("store", "Redis has appendonly off: "+persistAdvice)
	case c.Persistence == "":
		r.warn("store", "cannot tell whether Redis persists, it does not say so in INFO; it should have appendonly on")
	default:
		r.ok("store", "Redis persists (appendonly on)")
	}
	if c.Unguarded {
		r.warn("store", "Redis has replicas but no min-replicas-to-write: a failover can forget what was acknowledged; set min-replicas-to-write 1")
	}
	if c.Fullness > nearlyFull {
		r.warn("store", fmt.Sprintf("Redis uses %.0f %% of its maxmemory: at 100 %% it refuses claims, and events go to the spool; give it more", 100*c.Fullness))
	}
	ahead, err := redis.Ahead(ctx)
	if err != nil {
		r.warn("store", "cannot compare clocks: "+err.Error())
		return
	}
	checkClock("store", "Redis", "claims go by Redis' clock, and events are judged by this machine's: where that is the wrong one, they would be quarantined as too new or too old", ahead, r)
}

// checkClock judges how far another clock is ahead of ours. The reason says what
// a difference leads to that is more than events may have.
func checkClock(subject, whose, reason string, ahead time.Duration, r *report) {
	text := fmt.Sprintf("the clocks of %s and this machine differ by %s", whose, ahead.Abs().Round(time.Millisecond))
	switch {
	case ahead.Abs() > server.MaxAhead:
		r.fail(subject, errors.New(text+": "+reason+"; set the wrong one right"))
	case ahead.Abs() > skewWarning:
		r.warn(subject, text+": run a time service on both")
	}
}
