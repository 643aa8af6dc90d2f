package store

import (
	"time"

	"github.com/redis/go-redis/v9"
)

// aliasRun asks whose an alias is, on behalf of the event with a key, which gets
// it if nobody has it, or in any case if it takes it.
func (r *Redis) aliasRun(alias, key string, fetched bool, keep time.Duration, take bool) run {
	return run{script: aliasScript, key: r.aliases + alias, args: []any{ownerOf(key, fetched), keep.Milliseconds(), take}}
}

// readAlias reads the answer of aliasScript. A claim whose alias could not be
// asked for is none: it may be another event's.
func (a *claimAnswer) readAlias(alias string, cmd *redis.Cmd) {
	if a.err != nil {
		return
	}
	owner, err := cmd.Text()
	a.claim.Alias, a.err = alias, err
	a.claim.AliasOf, a.claim.AliasFetched = ownedBy(alias, owner)
}
