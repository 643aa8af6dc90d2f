package dispatch_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"

	"awareid-gateway/internal/dispatch"
	"awareid-gateway/internal/event"
)

// afterTheLease is when a claim can be inherited.
const afterTheLease = lease + produceTimeout + time.Millisecond

// mute is a producer of a process that dies: whoever waits for an outcome
// never gets it.
type mute struct {
	dispatch.Producer
	writes  bool          // it dies after the write, not before
	written chan struct{} // closed at the death

	mu     sync.Mutex
	orphan func(int64, error)
}

func (m *mute) Append(at event.Place, r dispatch.Record, deadline time.Time, done func(int64, error)) {
	m.mu.Lock()
	m.orphan = done
	m.mu.Unlock()
	if !m.writes {
		close(m.written)
		return
	}
	m.Producer.Append(at, r, deadline, func(int64, error) { close(m.written) })
}

// bury ends what a real death would have ended.
func (m *mute) bury() { m.orphan(0, dispatch.ErrUnknown) }

// die brings a Dispatcher to a point of an event's journey and leaves it there.
type die func(t *testing.T, s dispatch.Store, k *dispatch.Kafka)

func inProduce(writes bool) die {
	return func(t *testing.T, s dispatch.Store, k *dispatch.Kafka) {
		m := &mute{Producer: k, writes: writes, written: make(chan struct{})}
		d := newDispatcher(t, s, m)
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			<-m.written
			cancel()
		}()
		_, err := d.Dispatch(ctx, inbound("evt-1"))
		requireCause(t, dispatch.ErrUnknown, err)
		t.Cleanup(func() {
			m.bury()
			d.close(t)
		})
	}
}

// lossy is the store of a process that dies before it confirms.
type lossy struct {
	dispatch.Store
	gate chan struct{} // closed when the confirmations get through after all
}

func (l lossy) Confirm(ctx context.Context, done []event.Delivery) ([]bool, error) {
	select {
	case <-l.gate:
		return l.Store.Confirm(ctx, done)
	default:
		return nil, errAway
	}
}

// impatient is the store of a caller that leaves once it has seen that somebody
// else holds the claim. Were it to leave during the claim, that might be made
// all the same, and last.
type impatient struct {
	dispatch.Store
	leave context.CancelFunc
}

func (s impatient) Claim(ctx context.Context, c event.Claim, terms event.Terms) (event.Claim, event.Verdict, error) {
	got, verdict, err := s.Store.Claim(ctx, c, terms)
	if verdict == event.Busy {
		s.leave()
	}
	return got, verdict, err
}

func beforeTheConfirmation(t *testing.T, s dispatch.Store, k *dispatch.Kafka) {
	d := newDispatcher(t, lossy{s, make(chan struct{})}, k)
	outcome, err := d.Dispatch(t.Context(), inbound("evt-1"))
	require.NoError(t, err)
	require.Equal(t, dispatch.Accepted, outcome)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	require.Error(t, d.Close(ended))
}

// deaths are the points at which an owner can die, and what its heir finds.
var deaths = map[string]struct {
	die  die
	heir dispatch.Outcome
}{
	"before the write":        {inProduce(false), dispatch.Accepted},
	"after the write":         {inProduce(true), dispatch.Duplicate},
	"before the confirmation": {beforeTheConfirmation, dispatch.Duplicate},
}

// eachDeath runs a test at each point of death with each store. Before and
// behind the event there are others in its partition.
func eachDeath(t *testing.T, test func(t *testing.T, s dispatch.Store, k *dispatch.Kafka, c *clock, cluster *kfake.Cluster, heir dispatch.Outcome)) {
	for name, death := range deaths {
		for backend, open := range stores {
			t.Run(name+", "+backend, func(t *testing.T) {
				t.Parallel()
				c := newClock()
				cluster := newBroker(t)
				s, k := open(t, c), newProducer(t, cluster, 1)
				neighbour := newDispatcher(t, s, k)
				deliver(t, neighbour, "before", dispatch.Accepted)
				death.die(t, s, k)
				deliver(t, neighbour, "behind", dispatch.Accepted)
				neighbour.close(t)

				test(t, s, k, c, cluster, death.heir)

				count := map[string]int{}
				for _, r := range read(t, cluster, topic) {
					count[string(r.Headers[1].Value)]++
				}
				require.Equal(t, map[string]int{"before": 1, "evt-1": 1, "behind": 1}, count)
			})
		}
	}
}

func deliver(t *testing.T, d dispatcher, id string, want dispatch.Outcome) {
	t.Helper()
	outcome, err := d.Dispatch(t.Context(), inbound(id))
	require.NoError(t, err)
	require.Equal(t, want, outcome)
}

func TestTheHeirOfADeadOwner(t *testing.T) {
	eachDeath(t, func(t *testing.T, s dispatch.Store, k *dispatch.Kafka, c *clock, _ *kfake.Cluster, heir dispatch.Outcome) {
		d := newDispatcher(t, s, k)
		for _, later := range []time.Duration{0, lease, produceTimeout - time.Millisecond} {
			c.pass(later)
			ctx, cancel := context.WithCancel(t.Context())
			_, err := newDispatcher(t, impatient{s, cancel}, k).Dispatch(ctx, inbound("evt-1"))
			requireCause(t, dispatch.ErrInFlight, err)
		}
		c.pass(2 * time.Millisecond)
		deliver(t, d, "evt-1", heir)
		require.Equal(t, 1, d.count(t, "gateway_claims_inherited_total"))
		d.close(t)

		deliver(t, d, "evt-1", dispatch.Duplicate)
		require.Equal(t, 1, d.count(t, "gateway_claims_inherited_total"), "it is settled now")
	})
}

func TestTwoHeirsAtOnce(t *testing.T) {
	eachDeath(t, func(t *testing.T, s dispatch.Store, k *dispatch.Kafka, c *clock, _ *kfake.Cluster, heir dispatch.Outcome) {
		c.pass(afterTheLease)
		heirs := []dispatcher{newDispatcher(t, s, k), newDispatcher(t, s, k)}
		outcomes := make([]dispatch.Outcome, len(heirs))
		var all sync.WaitGroup
		for i, d := range heirs {
			all.Go(func() {
				var err error
				if outcomes[i], err = d.Dispatch(t.Context(), inbound("evt-1")); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		require.ElementsMatch(t, []dispatch.Outcome{heir, dispatch.Duplicate}, outcomes)
		inherited := 0
		for _, d := range heirs {
			d.close(t)
			inherited += d.count(t, "gateway_claims_inherited_total")
		}
		require.Equal(t, 1, inherited)
	})
}

func TestTheHeirDiesToo(t *testing.T) {
	eachDeath(t, func(t *testing.T, s dispatch.Store, k *dispatch.Kafka, c *clock, cluster *kfake.Cluster, heir dispatch.Outcome) {
		c.pass(afterTheLease)
		m := &mute{Producer: k, writes: true, written: make(chan struct{})}
		second := newDispatcher(t, lossy{s, make(chan struct{})}, m)
		ctx, cancel := context.WithCancel(t.Context())
		if heir == dispatch.Accepted { // it writes, and dies
			go func() {
				<-m.written
				cancel()
			}()
			_, err := second.Dispatch(ctx, inbound("evt-1"))
			requireCause(t, dispatch.ErrUnknown, err)
			m.bury()
		} else {
			deliver(t, second, "evt-1", heir)
			cancel()
		}
		require.Error(t, second.Close(ctx))

		c.pass(afterTheLease)
		third := newDispatcher(t, s, k)
		deliver(t, third, "evt-1", dispatch.Duplicate)
		require.Equal(t, 1, third.count(t, "gateway_claims_inherited_total"))
		third.close(t)
	})
}

func TestAnOwnerThatConfirmsTooLate(t *testing.T) {
	for backend, open := range stores {
		t.Run(backend, func(t *testing.T) {
			c := newClock()
			cluster := newBroker(t)
			s, k := open(t, c), newProducer(t, cluster, 1)
			gate := make(chan struct{})
			slow, heir := newDispatcher(t, lossy{s, gate}, k), newDispatcher(t, s, k)
			deliver(t, slow, "evt-1", dispatch.Accepted)
			c.pass(afterTheLease)
			deliver(t, heir, "evt-1", dispatch.Duplicate)
			heir.close(t)

			close(gate)
			slow.close(t)
			require.Equal(t, 1, slow.count(t, "gateway_claims_lost_total"))
			require.Equal(t, 0, slow.count(t, "gateway_claims_confirmed_total"))
			deliver(t, heir, "evt-1", dispatch.Duplicate)
			require.Equal(t, 1, stored(cluster, topic))
		})
	}
}

func TestAClaimThatWasGivenBackIsFreeAtOnce(t *testing.T) {
	for backend, open := range stores {
		t.Run(backend, func(t *testing.T) {
			cluster := newBroker(t)
			s, k := open(t, newClock()), newProducer(t, cluster, 1)
			failing := newDispatcher(t, s, failingProducer{k, dispatch.ErrNotStored})
			_, err := failing.Dispatch(t.Context(), inbound("evt-1"))
			requireCause(t, dispatch.ErrNotStored, err)
			failing.close(t)

			d := newDispatcher(t, s, k)
			deliver(t, d, "evt-1", dispatch.Accepted)
			require.Zero(t, d.count(t, "gateway_claims_inherited_total"))
			d.close(t)
		})
	}
}

// failingProducer does not write, and says so.
type failingProducer struct {
	dispatch.Producer
	err error
}

func (p failingProducer) Append(_ event.Place, r dispatch.Record, _ time.Time, done func(int64, error)) {
	answer(p.err)(r, done)
}
