package store

import (
	"context"
	"fmt"
	"strings"
	"sync"

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
	cluster, ok := r.client.(*redis.ClusterClient)
	if !ok {
		text, err := r.client.Info(ctx, section).Result()
		return []string{infoField(text, field)}, err
	}

	var mu sync.Mutex
	var values []string
	err := cluster.ForEachMaster(ctx, func(ctx context.Context, node *redis.Client) error {
		text, err := node.Info(ctx, section).Result()
		mu.Lock()
		defer mu.Unlock()
		values = append(values, infoField(text, field))
		return err
	})
	if err == nil && len(values) == 0 {
		err = fmt.Errorf("cluster has no master")
	}
	return values, err
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
