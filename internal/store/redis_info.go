package store

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// noEviction is the only policy under which Redis forgets no claim early.
const noEviction = "noeviction"

// EvictionPolicy returns the maxmemory-policy of Redis; of a cluster, the first
// that is not noeviction, if any node has another. It is empty where the server
// does not tell.
func (r *Redis) EvictionPolicy(ctx context.Context) (string, error) {
	policies, err := r.info(ctx, "memory", "maxmemory_policy")
	if err != nil {
		return "", fmt.Errorf("read eviction policy of Redis: %w", err)
	}
	for _, policy := range policies {
		if policy != noEviction {
			return policy, nil
		}
	}
	return noEviction, nil
}

// Version returns the version of Redis, such as 7.0.15; of a cluster, that of one
// node. It is empty where the server does not tell.
func (r *Redis) Version(ctx context.Context) (string, error) {
	versions, err := r.info(ctx, "server", "redis_version")
	if err != nil {
		return "", fmt.Errorf("read version of Redis: %w", err)
	}
	return versions[0], nil
}

// info returns one field of INFO from each master, at least one.
func (r *Redis) info(ctx context.Context, section, field string) ([]string, error) {
	answers, err := r.infos(ctx, section)
	for i, text := range answers {
		answers[i] = infoField(text, field)
	}
	return answers, err
}

// infos returns the answer of INFO from each master, at least one.
func (r *Redis) infos(ctx context.Context, section ...string) ([]string, error) {
	cluster, ok := r.client.(*redis.ClusterClient)
	if !ok {
		text, err := r.client.Info(ctx, section...).Result()
		return []string{text}, err
	}

	var mu sync.Mutex
	var answers []string
	err := cluster.ForEachMaster(ctx, func(ctx context.Context, node *redis.Client) error {
		text, err := node.Info(ctx, section...).Result()
		mu.Lock()
		defer mu.Unlock()
		answers = append(answers, text)
		return err
	})
	if err == nil && len(answers) == 0 {
		err = fmt.Errorf("cluster has no master")
	}
	return answers, err
}

// infoField finds a line "field:value" in the answer of INFO.
func infoField(text, field string) string {
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, field+":"); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// Condition is what Redis says about how much it may forget. What it does not
// tell is the zero value.
type Condition struct {
	Persistence string  // "on", "off" or "": of a cluster off where any master has it off
	Unguarded   bool    // it has replicas, and acknowledges without waiting for any to be there
	Fullness    float64 // share of maxmemory that is in use, of the fullest master; 0 without a maxmemory
}

// Condition asks every master.
func (r *Redis) Condition(ctx context.Context) (Condition, error) {
	var c Condition
	answers, err := r.infos(ctx)
	if err != nil {
		return c, fmt.Errorf("read the condition of Redis: %w", err)
	}
	for _, text := range answers {
		switch {
		case infoField(text, "aof_enabled") == "0":
			c.Persistence = "off"
		case infoField(text, "aof_enabled") == "1" && c.Persistence == "":
			c.Persistence = "on"
		}
		replicas, _ := strconv.Atoi(infoField(text, "connected_slaves")) // 0 where it does not tell
		c.Unguarded = c.Unguarded || replicas > 0 && infoField(text, "min_slaves_good_slaves") == ""
		used, _ := strconv.ParseFloat(infoField(text, "used_memory"), 64)
		if limit, _ := strconv.ParseFloat(infoField(text, "maxmemory"), 64); limit > 0 {
			c.Fullness = max(c.Fullness, used/limit)
		}
	}
	return c, nil
}

// Ahead is how far the clock of Redis, or of a node of the cluster, is ahead of
// ours; at most half of the round trip wrong.
func (r *Redis) Ahead(ctx context.Context) (time.Duration, error) {
	asked := time.Now()
	theirs, err := r.client.Time(ctx).Result()
	if err != nil {
		return 0, fmt.Errorf("read the clock of Redis: %w", err)
	}
	return theirs.Sub(asked.Add(time.Since(asked) / 2)), nil
}
