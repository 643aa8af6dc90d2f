package dispatch_test

import (
	"context"
	"encoding/json"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"awareid-gateway/internal/dispatch"
	"awareid-gateway/internal/event"
)

// TestAnEventOlderThanTheStoresMemory is looked for in Kafka before it is
// claimed, and what was written since then under the claim.
func TestAnEventOlderThanTheStoresMemory(t *testing.T) {
	type look = func(context.Context, event.Place, []event.Header) (bool, error)
	yes := func(context.Context, event.Place, []event.Header) (bool, error) { return true, nil }
	no := func(context.Context, event.Place, []event.Header) (bool, error) { return false, nil }
	fails := func(context.Context, event.Place, []event.Header) (bool, error) { return false, errAway }
	for name, tc := range map[string]struct {
		origin       dispatch.Origin
		age          time.Duration
		verdict      event.Verdict
		since, under look // ahead of the claim and under it; nil: nobody may look

		want      dispatch.Outcome
		cause     error
		claims    int
		produced  int
		fromClaim bool // under the claim it is read from where the claim says
	}{
		"is nowhere":                  {age: 2 * keep, since: no, under: no, want: dispatch.Accepted, claims: 1, produced: 1},
		"is in Kafka":                 {age: 2 * keep, since: yes, want: dispatch.Duplicate},
		"came between look and claim": {age: 2 * keep, since: no, under: yes, want: dispatch.Duplicate, claims: 1},
		"cannot be looked for":        {age: 2 * keep, since: fails, cause: dispatch.ErrUnknown},
		"cannot be looked for under the claim": {
			age: 2 * keep, since: no, under: fails, cause: dispatch.ErrUnknown, claims: 1,
		},
		"is claimed as delivered": {age: 2 * keep, verdict: event.Delivered, since: no, want: dispatch.Duplicate, claims: 1},
		"is inherited": {
			age: 2 * keep, verdict: event.Inherited, since: no, under: no, want: dispatch.Accepted, claims: 1, produced: 1, fromClaim: true,
		},
		"backfill":                          {origin: dispatch.Backfill, age: 2 * keep, since: yes, want: dispatch.Duplicate},
		"as old as the memory":              {age: keep, since: yes, want: dispatch.Duplicate},
		"a little younger, by some clock":   {age: keep - 30*time.Minute, since: yes, want: dispatch.Duplicate},
		"young enough to be remembered":     {age: keep - 2*time.Hour, want: dispatch.Accepted, claims: 1, produced: 1},
		"a callback, whose age was checked": {origin: dispatch.Callback, age: 2 * keep, want: dispatch.Accepted, claims: 1, produced: 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				in := inbound("evt-1")
				in.Origin = dispatch.Replay
				if tc.origin != "" {
					in.Origin = tc.origin
				}
				in.Event.Created = time.Now().Add(-tc.age)
				var s fakeStore
				if tc.verdict != 0 {
					s.claim = answerClaim(tc.verdict)
				}
				var p fakeProducer
				p.findSince = func(ctx context.Context, at event.Place, since time.Time, h []event.Header) (int64, bool, error) {
					require.NotNil(t, tc.since)
					require.Empty(t, s.claims, "the look takes longer than a lease")
					require.Equal(t, home(topic), at)
					require.Equal(t, in.Event.Identity(webhook), h)
					require.Equal(t, in.Event.Created.Add(-time.Hour), since)
					found, err := tc.since(ctx, at, h)
					return 3, found, err
				}
				p.find = func(ctx context.Context, at event.Place, from int64, h []event.Header) (int64, bool, error) {
					require.NotNil(t, tc.under)
					if tc.fromClaim {
						require.Equal(t, []any{firstOwner.Place, firstOwner.FromOffset}, []any{at, from})
					} else {
						require.Equal(t, []any{home(topic), int64(homeEnd)}, []any{at, from})
					}
					found, err := tc.under(ctx, at, h)
					return homeEnd, found, err
				}
				d := newDispatcher(t, &s, &p)
				outcome, err := d.Dispatch(t.Context(), in)
				requireCause(t, tc.cause, err)
				require.Equal(t, tc.want, outcome)
				d.close(t)
				require.Len(t, s.claims, tc.claims)
				require.Len(t, p.produced(), tc.produced)
			})
		})
	}
}

func TestFindSince(t *testing.T) {
	cluster := newBroker(t)
	k := newKafka(t, cluster, produceTimeout)
	began := time.Unix(1_700_000_000, 0)
	for i := range 5 {
		r := &kgo.Record{Topic: topic, Value: []byte("v"), Timestamp: began.Add(time.Duration(i) * time.Hour)}
		for _, h := range identity(i) {
			r.Headers = append(r.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
		}
		write(t, cluster, r)
	}
	for name, tc := range map[string]struct {
		id    int
		since time.Time
		want  int64
	}{
		"from the beginning":    {0, began, 0},
		"from later on":         {4, began.Add(150 * time.Minute), 4},
		"at the very time":      {3, began.Add(3 * time.Hour), 3},
		"it is older":           {2, began.Add(3 * time.Hour), -1},
		"all are older":         {4, began.Add(24 * time.Hour), -1},
		"before there was Unix": {1, time.Date(1955, 1, 1, 0, 0, 0, 0, time.UTC), 1},
		"the last millisecond":  {1, time.Unix(0, 0).Add(-time.Millisecond), 1},
		"it is not there":       {9, began, -1},
	} {
		t.Run(name, func(t *testing.T) {
			offset, found, err := k.FindSince(t.Context(), event.Place{Topic: topic}, tc.since, identity(tc.id))
			require.NoError(t, err)
			require.Equal(t, tc.want >= 0, found)
			if found {
				require.Equal(t, tc.want, offset)
			}
		})
	}
}

// TestASpooledEventIsStillLookedFor: it was spooled because nobody could look.
func TestASpooledEventIsStillLookedFor(t *testing.T) {
	w := newWorld(t)
	dir := t.TempDir()
	change := func(o *dispatch.Options) { o.Memory, o.History = nil, nil }
	r := w.replica(t, dir, change)
	require.Equal(t, dispatch.Accepted, r.post(t, of("operation-1", "evt-1")))
	r.stop(t)
	w.redis.FlushAll() // as after the time to keep

	leave(t, dir, sinceAnHour(t))
	blind := w.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Topic: topic, Err: kerr.NotLeaderForPartition, Count: -1})
	r = w.replica(t, dir, change)
	require.Equal(t, 1, r.spool.Pending())
	blind.Remove()
	r.drained(t)
	require.Equal(t, []string{"evt-1"}, w.ids(t, 1))
	require.Equal(t, 1, stored(w.cluster, topic))
}

// sinceAnHour is evt-1 as it lies in a spool, to be looked for in an hour's records.
func sinceAnHour(t *testing.T) []byte {
	body, err := os.ReadFile("testdata/parcel-1.json")
	require.NoError(t, err)
	var fields map[string]any
	require.NoError(t, json.Unmarshal(body, &fields))
	fields["since"] = time.Now().Add(-time.Hour)
	body, err = json.Marshal(fields)
	require.NoError(t, err)
	return body
}
