package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// books are what must be in Kafka by what was answered.
type books struct {
	accepted    map[string]digest
	forbidden   map[string]bool
	quarantined int
}

func newBooks() *books { return &books{accepted: map[string]digest{}, forbidden: map[string]bool{}} }

func (b *books) enter(r result) {
	for id, d := range r.Accepted {
		b.accepted[id] = d
	}
	for _, id := range r.Forbidden {
		b.forbidden[id] = true
	}
	b.quarantined += r.Quarantined
}

// audit is what Kafka has of it.
type audit struct {
	Events      int `json:"events"`      // with a 2xx
	Records     int `json:"records"`     // in the topics of events
	Lost        int `json:"lost"`        // events with a 2xx and no record
	Duplicated  int `json:"duplicated"`  // events with several
	Altered     int `json:"altered"`     // records with another value than was sent
	Forbidden   int `json:"forbidden"`   // records of events that were refused
	Quarantined int `json:"quarantined"` // records in the quarantine
	Missing     int `json:"missing"`     // bodies that should be there, less these
}

func (a audit) broken() (why []string) {
	for _, c := range []struct {
		n    int
		what string
	}{
		{a.Lost, "events with a 2xx are not in Kafka"}, {a.Duplicated, "events are there more than once"},
		{a.Altered, "records are not what was sent"}, {a.Forbidden, "records are of events that were refused or smuggled"},
		{a.Missing, "bodies are missing in the quarantine (or there are so many too many)"},
	} {
		if c.n != 0 {
			why = append(why, fmt.Sprintf("%d %s", c.n, c.what))
		}
	}
	return why
}

// record is what an audit looks at.
type record struct {
	quarantined bool
	id          string
	value       digest
}

func (b *books) audit(records []record) audit {
	a := audit{Events: len(b.accepted)}
	copies := map[string]int{}
	for _, r := range records {
		if r.quarantined {
			a.Quarantined++
			continue
		}
		a.Records++
		copies[r.id]++
		want, ok := b.accepted[r.id]
		switch {
		case b.forbidden[r.id]:
			a.Forbidden++
		case ok && want != r.value:
			a.Altered++
		}
	}
	for id := range b.accepted {
		switch n := copies[id]; {
		case n == 0:
			a.Lost++
		case n > 1:
			a.Duplicated++
		}
	}
	a.Missing = b.quarantined - a.Quarantined
	return a
}

// readRecords reads the topics to their present ends, with another client than the
// gateway's.
func readRecords(ctx context.Context, brokers string, topics []string) (records []record, err error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(brokers, ",")...), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeTopics(topics...), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		return nil, err
	}
	defer client.Close()
	ends, err := kadm.NewClient(client).ListCommittedOffsets(ctx, topics...)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("ask where the topics end: %w", err)
	}
	missing := 0
	ends.Each(func(o kadm.ListedOffset) { missing += int(o.Offset) })
	for len(records) < missing {
		fetches := client.PollFetches(ctx)
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("read the topics: %d of %d records: %w", len(records), missing, err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			records = append(records, record{strings.HasSuffix(r.Topic, "."+quarantineTopic), headerOf(r, "ce_id"), digestOf(r.Value)})
		})
	}
	return records, nil
}

func headerOf(r *kgo.Record, key string) string {
	for _, h := range r.Headers {
		if h.Key == key {
			return string(h.Value)
		}
	}
	return ""
}
