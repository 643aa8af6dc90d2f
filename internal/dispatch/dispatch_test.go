package dispatch_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"awareid-gateway/internal/dispatch"
	"awareid-gateway/internal/event"
)

const quarantine = "awareid.quarantine"

// read returns all records of a topic, as another client reads them.
func read(t *testing.T, cluster *kfake.Cluster, topic string) []*kgo.Record {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.ConsumeTopics(topic))
	require.NoError(t, err)
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	want := stored(cluster, topic)
	var records []*kgo.Record
	for len(records) < want {
		fetched := client.PollFetches(ctx)
		require.NoError(t, fetched.Err0(), "%d of %d records are there", len(records), want)
		records = append(records, fetched.Records()...)
	}
	return records
}

// headers writes a record's headers in their order, as key=value.
func headers(r *kgo.Record) []string {
	var list []string
	for _, h := range r.Headers {
		list = append(list, h.Key+"="+string(h.Value))
	}
	return list
}

func TestARecordIsWhatTheDesignSays(t *testing.T) {
	const trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	for name, tc := range map[string]struct {
		payload string
		change  func(*dispatch.Inbound)
		topic   string
		key     string
		headers []string
	}{
		"a callback": {
			payload: "{\"type\": \"enrollment.completed\",\n\t\"id\":\"evt-1\",  \"created\":\"2022-02-16T14:33:11.889-0500\",\"operationToken\":\"op-1\",\"username\":\"Zo\u00eb\"}",
			topic:   "awareid.enrollment", key: "op-1",
			headers: []string{
				"ce_specversion=1.0", "ce_id=evt-1", "ce_type=enrollment.completed",
				"ce_source=/awareid/webhooks/" + webhook, "ce_time=2022-02-16T14:33:11.889-05:00",
				"ce_subject=op-1", "content-type=application/json",
				"gateway-origin=callback", "gateway-received-at=2026-03-01T12:00:00.123456Z",
			},
		},
		"a replay with a trace and no operation": {
			payload: `{"id":"evt-2","type":"authentication.started","created":"2026-01-02T03:04:05Z"}`,
			change:  func(in *dispatch.Inbound) { in.Origin, in.Traceparent = dispatch.Replay, trace },
			topic:   "awareid.authentication", key: "evt-2",
			headers: []string{
				"ce_specversion=1.0", "ce_id=evt-2", "ce_type=authentication.started",
				"ce_source=/awareid/webhooks/" + webhook, "ce_time=2026-01-02T03:04:05Z",
				"content-type=application/json",
				"gateway-origin=replay", "gateway-received-at=2026-03-01T12:00:00.123456Z",
				"traceparent=" + trace,
			},
		},
		"an unknown family, from backfill": {
			payload: `{"id":"evt-3","type":"billing.closed","created":"2026-01-02T03:04:05Z","operationToken":"op-3"}`,
			change:  func(in *dispatch.Inbound) { in.Origin, in.WebhookID = dispatch.Backfill, otherWebhook },
			topic:   "awareid.other", key: "op-3",
			headers: []string{
				"ce_specversion=1.0", "ce_id=evt-3", "ce_type=billing.closed",
				"ce_source=/awareid/webhooks/" + otherWebhook, "ce_time=2026-01-02T03:04:05Z",
				"ce_subject=op-3", "content-type=application/json",
				"gateway-origin=backfill", "gateway-received-at=2026-03-01T12:00:00.123456Z",
			},
		},
	} {
		for backend, open := range stores {
			t.Run(name+", "+backend, func(t *testing.T) {
				const partitions = 6
				cluster := newBroker(t)
				d := newDispatcher(t, open(t, newClock()), newProducer(t, cluster, partitions))
				e, err := event.Parse([]byte(tc.payload))
				require.NoError(t, err)
				in, releases := counted(dispatch.Inbound{Event: e, WebhookID: webhook, Origin: dispatch.Callback, ReceivedAt: received})
				if tc.change != nil {
					tc.change(&in)
				}

				outcome, err := d.Dispatch(t.Context(), in)
				require.NoError(t, err)
				require.Equal(t, dispatch.Accepted, outcome)
				d.close(t)
				require.EqualValues(t, 1, releases.Load())

				records := read(t, cluster, tc.topic)
				require.Len(t, records, 1)
				require.Equal(t, tc.key, string(records[0].Key))
				require.Equal(t, tc.payload, string(records[0].Value), "byte for byte")
				require.Equal(t, tc.headers, headers(records[0]))
				java := kgo.StickyKeyPartitioner(nil).ForTopic(tc.topic)
				require.EqualValues(t, java.Partition(&kgo.Record{Key: []byte(tc.key)}, partitions), records[0].Partition)
			})
		}
	}
}

func TestOneEventOneRecord(t *testing.T) {
	for backend, open := range stores {
		t.Run(backend, func(t *testing.T) {
			cluster := newBroker(t)
			d := newDispatcher(t, open(t, newClock()), newProducer(t, cluster, 3))
			for i, want := range []dispatch.Outcome{dispatch.Accepted, dispatch.Duplicate, dispatch.Duplicate} {
				outcome, err := d.Dispatch(t.Context(), inbound("evt-1"))
				require.NoError(t, err)
				require.Equal(t, want, outcome, i)
			}
			elsewhere := inbound("evt-1")
			elsewhere.WebhookID = otherWebhook
			outcome, err := d.Dispatch(t.Context(), elsewhere)
			require.NoError(t, err)
			require.Equal(t, dispatch.Accepted, outcome, "the id of another webhook is another event")
			d.close(t)

			var sources []string
			for _, r := range read(t, cluster, topic) {
				require.Equal(t, "ce_source", r.Headers[3].Key)
				sources = append(sources, string(r.Headers[3].Value))
			}
			require.Equal(t, []string{event.Source(webhook), event.Source(otherWebhook)}, sources)
		})
	}
}

func TestConcurrentPostsOfOneEvent(t *testing.T) {
	for backend, open := range stores {
		t.Run(backend, func(t *testing.T) {
			cluster := newBroker(t)
			shared, k := open(t, newClock()), newProducer(t, cluster, 3)
			replicas := []dispatcher{newDispatcher(t, shared, k), newDispatcher(t, shared, k)}
			const posts = 64
			outcomes := make([]dispatch.Outcome, posts)
			errs := make([]error, posts)
			var all sync.WaitGroup
			for i := range posts {
				all.Go(func() { outcomes[i], errs[i] = replicas[i%2].Dispatch(t.Context(), inbound("evt-1")) })
			}
			all.Wait()

			require.NoError(t, errors.Join(errs...))
			count := map[dispatch.Outcome]int{}
			for _, o := range outcomes {
				count[o]++
			}
			require.Equal(t, map[dispatch.Outcome]int{dispatch.Accepted: 1, dispatch.Duplicate: posts - 1}, count)
			require.Equal(t, 1, stored(cluster, topic))
			for _, d := range replicas {
				d.close(t)
			}
			require.Equal(t, 1, replicas[0].count(t, "gateway_claims_confirmed_total")+replicas[1].count(t, "gateway_claims_confirmed_total"))
		})
	}
}

func TestManyEventsAtOnce(t *testing.T) {
	cluster := newBroker(t)
	d := newDispatcher(t, stores["file"](t, newClock()), newProducer(t, cluster, 6))
	const events = 300
	var all sync.WaitGroup
	for i := range events {
		all.Go(func() {
			outcome, err := d.Dispatch(t.Context(), inbound(fmt.Sprint("evt-", i)))
			if err != nil || outcome != dispatch.Accepted {
				t.Errorf("event %d: %q, %v", i, outcome, err)
			}
		})
	}
	all.Wait()
	d.close(t)
	require.Equal(t, events, d.count(t, "gateway_claims_confirmed_total"))
	ids := map[string]bool{}
	for _, r := range read(t, cluster, topic) {
		ids[string(r.Headers[1].Value)] = true
	}
	require.Len(t, ids, events)
	require.Equal(t, events, stored(cluster, topic))
}
