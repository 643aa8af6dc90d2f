package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/redis/go-redis/v9"

	"awareid-gateway/internal/event"
	"awareid-gateway/internal/store"
)

// fillScript writes delivered claims as the gateway leaves them, many at a time.
var fillScript = redis.NewScript(`
for i = ARGV[1], ARGV[2] do
  local key = string.format('awareid:claim:0123456789abcdef0123456789abcdef/%08x-1c3b-4a39-9c5d-5f2b7c1d9e10', i)
  redis.call('HSET', key, 't', '0123456789abcdef01234567-' .. i, 's', 'done', 'r', 'bench',
    'o', 'awareid.authentication', 'p', i % 12, 'x', i)
  redis.call('PEXPIRE', key, 86400000)
end`)

// fillStep is how many claims one call writes, so that it takes milliseconds.
const fillStep = 5000

// withIDs gives the gateway a database of the real Redis that remembers so many
// ids. Each number has a database of its own, which is filled once and emptied
// at the end.
func (l *lab) withIDs(ctx context.Context, n int) (set setting, _ aside, err error) {
	if url, filled := l.filled[n]; filled {
		return setting{redis: url}, nil, nil
	}
	u, err := url.Parse(os.Getenv(redisVariable))
	if err != nil {
		return set, nil, fmt.Errorf("%s is no Redis URL", redisVariable)
	}
	u.Path = fmt.Sprint("/", len(l.filled)+1)
	o, err := redis.ParseURL(u.String())
	if err != nil {
		return set, nil, fmt.Errorf("%s is no Redis URL", redisVariable)
	}
	o.ReadTimeout = patience
	client := redis.NewClient(o)
	if there, err := client.DBSize(ctx).Result(); err != nil || there > 0 {
		return set, nil, errors.Join(fmt.Errorf("database %d of Redis is not empty: %d keys", o.DB, there), err, client.Close())
	}
	l.atEnd = append(l.atEnd, func() {
		client.FlushDBAsync(context.WithoutCancel(ctx))
		client.Close()
	})
	for first := 1; first <= n; first += fillStep {
		if err := fillScript.Run(ctx, client, nil, first, min(first+fillStep-1, n)).Err(); err != nil && err != redis.Nil {
			return set, nil, fmt.Errorf("fill Redis: %w", err)
		}
	}
	set.redis = u.String()
	l.filled[n] = set.redis
	return set, nil, nil
}

// withFile gives the gateway a copy of a store file that remembers so many ids.
func (l *lab) withFile(ctx context.Context, n int) (set setting, _ aside, err error) {
	full := filepath.Join(l.dir, fmt.Sprintf("full-%d.db", n))
	if _, err := os.Stat(full); err != nil {
		if err := fillFile(ctx, full, n); err != nil {
			return set, nil, fmt.Errorf("fill the file: %w", err)
		}
	}
	set.file = filepath.Join(l.dir, fmt.Sprintf("copy-%d.db", n))
	return set, nil, copyFile(full, set.file)
}

func fillFile(ctx context.Context, path string, n int) error {
	f, err := store.OpenFile(path, time.Now)
	if err != nil {
		return err
	}
	defer f.Close()
	for first := 0; first < n; first += fillStep {
		done := make([]event.Delivery, min(fillStep, n-first))
		for i := range done {
			done[i] = event.Delivery{
				Key:   "0123456789abcdef0123456789abcdef/" + newID(),
				Token: fmt.Sprint("0123456789abcdef01234567-", first+i), Offset: int64(first + i),
				Place: event.Place{Topic: "awareid.authentication", Partition: i % 12}, Keep: 24 * time.Hour,
			}
		}
		if _, err := f.Confirm(ctx, done); err != nil {
			return err
		}
	}
	return nil
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	defer out.Close()
	if _, err := io.Copy(out, in); err != nil {
		return err
	}
	return out.Sync()
}
