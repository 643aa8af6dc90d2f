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

	"awareid-gateway/internal/dispatch"
	"awareid-gateway/internal/event"
)

// one is the event that all of these tests know by its number, under any id. It
// was called back as evt-1, and fetched under the other ids, of late.
func one(id string) dispatch.Inbound {
	in := fetchedAs(numberedAs(inbound(id), "17"))
	in.Event.Created = time.Now()
	return in
}

func fetchedAs(in dispatch.Inbound) dispatch.Inbound {
	if in.Event.ID != "evt-1" {
		in.Origin = dispatch.Backfill
	}
	return in
}

// tracked is a dispatcher that knows an event by its number.
func tracked(t *testing.T, s dispatch.Store, p dispatch.Producer) dispatcher {
	return newDispatcher(t, s, p, tracking(new(fakeNumbers)))
}

// dispatchAs brings the event in under an id.
func dispatchAs(t *testing.T, d dispatcher, id string, want dispatch.Outcome) {
	t.Helper()
	outcome, err := d.Dispatch(t.Context(), one(id))
	require.NoError(t, err)
	require.Equal(t, want, outcome, id)
}

// wantOne wants the event in Kafka once, under whatever id, and the rest as often
// as it says.
func wantOne(t *testing.T, cluster *kfake.Cluster, others int) {
	t.Helper()
	n := 0
	for _, r := range read(t, cluster, topic) {
		if header(r, "aware-transaction-num") == "17" {
			n++
		}
	}
	require.Equal(t, 1, n)
	require.Equal(t, 1+others, stored(cluster, topic))
}

func TestOneEventUnderTwoIDs(t *testing.T) {
	for backend, open := range stores {
		t.Run(backend, func(t *testing.T) {
			cluster := newBroker(t)
			s, k := open(t, newClock()), newProducer(t, cluster, 3)
			replicas := []dispatcher{tracked(t, s, k), tracked(t, s, k)}
			dispatchAs(t, replicas[0], "evt-1", dispatch.Accepted)
			replicas[0].close(t)
			for range 2 {
				for _, id := range []string{"evt-2", "evt-1", "evt-3"} {
					dispatchAs(t, replicas[1], id, dispatch.Duplicate)
				}
			}
			replicas[1].close(t)
			require.Equal(t, 2, replicas[1].count(t, "gateway_events_renamed_total"), "then it is known under those ids too")
			wantOne(t, cluster, 0)
		})
	}
}

func TestWhatIsAnotherEvent(t *testing.T) {
	cluster := newBroker(t)
	d := tracked(t, stores["redis"](t, newClock()), newProducer(t, cluster, 1))
	dispatchAs(t, d, "evt-1", dispatch.Accepted)
	for name, change := range map[string]func(*dispatch.Inbound){
		"type":    func(in *dispatch.Inbound) { in.Event.Type = "enrollment.cancelled" },
		"webhook": func(in *dispatch.Inbound) { in.WebhookID = otherWebhook },
		"number":  func(in *dispatch.Inbound) { in.Event.TransactionNum = "18" },
		"none":    func(in *dispatch.Inbound) { in.Event.TransactionNum = "" },
	} {
		in := one("evt-" + name)
		change(&in)
		outcome, err := d.Dispatch(t.Context(), in)
		require.NoError(t, err)
		require.Equal(t, dispatch.Accepted, outcome, name)
	}
	d.close(t)
	require.Zero(t, d.count(t, "gateway_events_renamed_total"))
}

// Two callbacks are two events, even under one number: should the platform's
// numbers not be what they seem, nothing that it sends is lost.
func TestTwoCallbacksWithOneNumber(t *testing.T) {
	for backend, open := range stores {
		t.Run(backend, func(t *testing.T) {
			c := newClock()
			cluster := newBroker(t)
			s, k := open(t, c), newProducer(t, cluster, 1)
			called := func(d dispatcher, id string) (dispatch.Outcome, error) {
				return d.Dispatch(t.Context(), numberedAs(inbound(id), "17"))
			}
			d := tracked(t, s, k)
			for _, id := range []string{"evt-1", "evt-2"} {
				outcome, err := called(d, id)
				require.NoError(t, err)
				require.Equal(t, dispatch.Accepted, outcome)
			}
			dieWith(t, s, k, numberedAs(inbound("evt-3"), "17"), false)
			c.pass(afterTheLease)
			outcome, err := called(d, "evt-3")
			require.NoError(t, err)
			require.Equal(t, dispatch.Accepted, outcome, "its heir does not take another's record for its own")
			dispatchAs(t, d, "evt-4", dispatch.Duplicate)
			d.close(t)
			require.Equal(t, 3, stored(cluster, topic))
		})
	}
}

func TestConcurrentPostsUnderManyIDs(t *testing.T) {
	for backend, open := range stores {
		t.Run(backend, func(t *testing.T) {
			cluster := newBroker(t)
			s, k := open(t, newClock()), newProducer(t, cluster, 3)
			replicas := []dispatcher{tracked(t, s, k), tracked(t, s, k)}
			const posts = 48
			outcomes := make([]dispatch.Outcome, posts)
			errs := make([]error, posts)
			var all sync.WaitGroup
			for i := range posts {
				all.Go(func() {
					outcomes[i], errs[i] = replicas[i%2].Dispatch(t.Context(), one(fmt.Sprint("evt-", i/4)))
				})
			}
			all.Wait()
			require.NoError(t, errors.Join(errs...))
			count := map[dispatch.Outcome]int{}
			for _, o := range outcomes {
				count[o]++
			}
			require.Equal(t, map[dispatch.Outcome]int{dispatch.Accepted: 1, dispatch.Duplicate: posts - 1}, count)
			for _, d := range replicas {
				d.close(t)
			}
			wantOne(t, cluster, 0)
		})
	}
}

// dieAs leaves the event, under an id, at a point of its journey.
func dieAs(t *testing.T, s dispatch.Store, k *dispatch.Kafka, id string, writes bool) {
	dieWith(t, s, k, one(id), writes)
}

func dieWith(t *testing.T, s dispatch.Store, k *dispatch.Kafka, in dispatch.Inbound, writes bool) {
	m := &mute{Producer: k, writes: writes, written: make(chan struct{})}
	d := tracked(t, s, m)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-m.written
		cancel()
	}()
	_, err := d.Dispatch(ctx, in)
	requireCause(t, dispatch.ErrUnknown, err)
	t.Cleanup(func() {
		m.bury()
		d.close(t)
	})
}

// TestTheHeirUnderAnotherID: an owner dies, and then its heir, who came under
// another id, before or after the write. Whoever comes last settles it.
func TestTheHeirUnderAnotherID(t *testing.T) {
	for name, tc := range map[string]struct {
		writes []bool // of those who die, in order
		ids    []string
		last   dispatch.Outcome
	}{
		"before the write":         {[]bool{false}, []string{"evt-1", "evt-2"}, dispatch.Accepted},
		"after the write":          {[]bool{true}, []string{"evt-1", "evt-2"}, dispatch.Duplicate},
		"both before the write":    {[]bool{false, false}, []string{"evt-1", "evt-2", "evt-1"}, dispatch.Accepted},
		"the heir after the write": {[]bool{false, true}, []string{"evt-1", "evt-2", "evt-1"}, dispatch.Duplicate},
		"the heir, and a third id": {[]bool{false, true}, []string{"evt-1", "evt-2", "evt-3"}, dispatch.Duplicate},
		"the heir, and its own id": {[]bool{false, true}, []string{"evt-1", "evt-2", "evt-2"}, dispatch.Duplicate},
	} {
		for backend, open := range stores {
			t.Run(name+", "+backend, func(t *testing.T) {
				t.Parallel()
				c := newClock()
				cluster := newBroker(t)
				s, k := open(t, c), newProducer(t, cluster, 1)
				for i, writes := range tc.writes {
					dieAs(t, s, k, tc.ids[i], writes)
					for _, id := range []string{"evt-1", "evt-2", "evt-3"} {
						ctx, cancel := context.WithCancel(t.Context())
						_, err := tracked(t, impatient{s, cancel}, k).Dispatch(ctx, one(id))
						requireCause(t, dispatch.ErrInFlight, err)
						cancel()
					}
					c.pass(afterTheLease)
				}
				d := tracked(t, s, k)
				dispatchAs(t, d, tc.ids[len(tc.ids)-1], tc.last)
				d.close(t)
				for _, id := range []string{"evt-1", "evt-2", "evt-3"} {
					dispatchAs(t, d, id, dispatch.Duplicate)
				}
				wantOne(t, cluster, 0)
			})
		}
	}
}

// TestAfterADefiniteRefusal the number still belongs to the first id, and whoever
// comes next delivers it.
func TestAfterADefiniteRefusal(t *testing.T) {
	for backend, open := range stores {
		t.Run(backend, func(t *testing.T) {
			cluster := newBroker(t)
			s, k := open(t, newClock()), newProducer(t, cluster, 1)
			refused := tracked(t, s, &fakeProducer{append: answer(dispatch.ErrNotStored)})
			for _, id := range []string{"evt-1", "evt-2"} { // the latter takes over, and is refused too
				_, err := refused.Dispatch(t.Context(), one(id))
				requireCause(t, dispatch.ErrNotStored, err)
			}
			refused.close(t)
			d := tracked(t, s, k)
			dispatchAs(t, d, "evt-2", dispatch.Accepted)
			d.close(t)
			dispatchAs(t, d, "evt-1", dispatch.Duplicate)
			wantOne(t, cluster, 0)
		})
	}
}

// claimOf is a claim that a process died with.
func claimOf(in dispatch.Inbound) event.Claim {
	return event.Claim{
		Key: in.Event.ClaimKey(webhook), Alias: in.Event.AliasKey(webhook), Fetched: in.Origin == dispatch.Backfill,
		Token: "dead", Place: event.Place{Topic: topic},
	}
}

// TestHalfAClaim: in a cluster an alias and a claim lie on two nodes, and a crash
// or an error can leave one of them alone.
func TestHalfAClaim(t *testing.T) {
	half := claimOf(one("evt-1"))
	for name, leave := range map[string]func(t *testing.T, s dispatch.Store){
		"an alias without a claim": func(t *testing.T, s dispatch.Store) {
			_, _, err := s.Claim(t.Context(), half, terms)
			require.NoError(t, err)
			require.NoError(t, s.Release(t.Context(), half.Key, half.Token))
		},
		"a claim without an alias": func(t *testing.T, s dispatch.Store) {
			alone := half
			alone.Alias = ""
			_, _, err := s.Claim(t.Context(), alone, terms)
			require.NoError(t, err)
		},
	} {
		for backend, open := range stores {
			t.Run(name+", "+backend, func(t *testing.T) {
				c := newClock()
				cluster := newBroker(t)
				s := open(t, c)
				leave(t, s)
				d := tracked(t, s, newProducer(t, cluster, 1))
				dispatchAs(t, d, "evt-2", dispatch.Accepted)
				d.close(t)
				c.pass(afterTheLease)
				dispatchAs(t, d, "evt-1", dispatch.Duplicate)
				d.close(t)
				dispatchAs(t, d, "evt-2", dispatch.Duplicate)
				wantOne(t, cluster, 0)
			})
		}
	}
}

// TestWrittenWithoutAnAlias: an id whose record an older version wrote, and which
// did not get to say so, is found under its own claim.
func TestWrittenWithoutAnAlias(t *testing.T) {
	for backend, open := range stores {
		t.Run(backend, func(t *testing.T) {
			c := newClock()
			cluster := newBroker(t)
			s, k := open(t, c), newProducer(t, cluster, 1)
			inProduce(true)(t, s, k) // evt-1, with no number
			c.pass(afterTheLease)
			other := tracked(t, s, &fakeProducer{append: answer(dispatch.ErrNotStored)})
			_, err := other.Dispatch(t.Context(), one("evt-2")) // is the first to name the number
			requireCause(t, dispatch.ErrNotStored, err)
			other.close(t)

			d := tracked(t, s, k)
			dispatchAs(t, d, "evt-1", dispatch.Duplicate)
			d.close(t)
			dispatchAs(t, d, "evt-2", dispatch.Duplicate)
			require.Equal(t, 1, stored(cluster, topic))
		})
	}
}
