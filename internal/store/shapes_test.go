package store_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/alicebob/miniredis/v2/server"
	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/event"
	"awareid-gateway/internal/store"
)

// The suite asks for one event at a time, for the most part. Here each has strangers
// with it, and each is alone as on a node of a cluster.

// shapes are Redis stores that run their scripts in another shape.
func shapes() map[string]func(*testing.T) fixture {
	all := map[string]func(*testing.T) fixture{"miniredis as a cluster": onCluster}
	for backend, open := range backends() {
		if backend != "file" {
			all[backend+" in groups"] = func(t *testing.T) fixture {
				f := open(t)
				f.claims, f.replica = inGroups{f.claims.(*store.Redis)}, inGroups{f.replica.(*store.Redis)}
				return f
			}
		}
	}
	return all
}

func onCluster(t *testing.T) fixture {
	c := newClock()
	url := "redis+cluster://" + startMiniredis(t, c).Addr()
	return fixture{
		claims:  openRedis(t, url, "awareid"),
		replica: openRedis(t, url, "awareid"),
		pass:    c.pass, now: c.now, stopped: true,
	}
}

// inGroups is a store on which nobody is ever alone.
type inGroups struct{ *store.Redis }

var strangers atomic.Int64

func stranger() event.Claim {
	n := strangers.Add(1)
	return event.Claim{
		Key: fmt.Sprintf("stranger/%d", n), Token: "s", Replica: "gateway-s", Place: event.Place{Topic: "s", Partition: 1},
		Alias: fmt.Sprintf("stranger/type/%d", n), Queue: fmt.Sprintf("stranger/queue-%d", n),
	}
}

func (g inGroups) Claim(ctx context.Context, c event.Claim, terms event.Terms) (event.Claim, event.Verdict, error) {
	before, behind := stranger(), stranger()
	before.Replica, behind.Replica = c.Replica, c.Replica // or they would not share a run
	answers, err := g.ClaimTogether(ctx, []event.Claim{before, c, behind}, terms)
	if err != nil {
		return event.Claim{}, 0, err
	}
	for i, s := range []event.Claim{before, behind} {
		a := answers[2*i]
		if a.Err != nil || a.Verdict != event.Granted || a.Claim.Key != s.Key || a.Claim.AliasOf != s.Key || a.Claim.Queued {
			return event.Claim{}, 0, fmt.Errorf("a stranger got verdict %d, %v", a.Verdict, a.Err)
		}
	}
	return answers[1].Claim, answers[1].Verdict, answers[1].Err
}

func (g inGroups) Confirm(ctx context.Context, done []event.Delivery) ([]bool, error) {
	var all []event.Delivery
	for _, d := range done {
		s := stranger()
		all = append(all, event.Delivery{Key: s.Key, Token: s.Token, Place: s.Place, Keep: keep, Alias: s.Alias}, d)
	}
	oks, err := g.Redis.Confirm(ctx, all)
	var answers []bool
	for i, ok := range oks {
		if i%2 == 1 {
			answers = append(answers, ok)
		} else if !ok {
			return nil, fmt.Errorf("stranger %d was not confirmed", i)
		}
	}
	return answers, err
}

// TestLargeGroup has more claims than one run takes, of several terms and replicas.
func TestLargeGroup(t *testing.T) {
	for scheme, most := range map[string]int64{"redis://": 3 * 64, "redis+cluster://": 1} {
		t.Run(scheme, func(t *testing.T) {
			clock := newClock()
			m := startMiniredis(t, clock)
			largest := countKeys(m)
			r := openRedis(t, scheme+m.Addr(), "awareid")
			all := make([]event.Claim, 200)
			for i := range all {
				all[i] = stranger()
				all[i].Replica, all[i].FromOffset = fmt.Sprint("gateway-", i/140), int64(i)
				if i%3 == 0 {
					all[i].Alias, all[i].Queue = "", ""
				}
			}
			all[150].Key = all[3].Key // by the same token
			all[160].Key, all[160].Token = all[5].Key, "other"
			all[160].Alias = all[5].Alias
			_, err := r.Enqueue(t.Context(), []event.Ticket{{Queue: all[70].Queue, ID: "1", At: clock.now().Add(-time.Microsecond)}}, keep)
			require.NoError(t, err)

			answers, err := r.ClaimTogether(t.Context(), all, terms)
			require.NoError(t, err)
			for i, a := range answers {
				require.NoError(t, a.Err)
				want, verdict := all[i], event.Granted
				want.State, want.LeaseUntil, want.Memory = event.Claimed, a.Claim.LeaseUntil, a.Claim.Memory
				want.Queue, want.Queued = "", i == 70
				if want.Alias != "" {
					want.AliasOf = want.Key
				}
				switch i {
				case 150:
					want.Replica, want.FromOffset = all[3].Replica, all[3].FromOffset
				case 160:
					verdict = event.Busy
					want.Token, want.Replica, want.FromOffset = all[5].Token, all[5].Replica, all[5].FromOffset
				}
				require.Equal(t, verdict, a.Verdict, i)
				require.Equal(t, want, a.Claim, i)
				require.Equal(t, clock.now().Add(lease).UnixMilli(), a.Claim.LeaseUntil.UnixMilli())
			}
			again, err := r.ClaimTogether(t.Context(), all, terms)
			require.NoError(t, err)
			require.Equal(t, answers, again, "what was answered is what is stored")

			done := make([]event.Delivery, len(all))
			for i, c := range all {
				done[i] = event.Delivery{Key: c.Key, Token: c.Token, Place: c.Place, Keep: keep, Alias: c.Alias}
			}
			oks, err := r.Confirm(t.Context(), done)
			require.NoError(t, err)
			for i, ok := range oks {
				require.Equal(t, i != 160, ok, i)
			}
			require.LessOrEqual(t, largest.Load(), most, "nobody is kept from Redis for long")
			require.Greater(t, largest.Load(), most/2)
		})
	}
}

// countKeys tells how many keys a script has been run on at most.
func countKeys(m *miniredis.Miniredis) *atomic.Int64 {
	var largest atomic.Int64
	m.Server().SetPreHook(func(_ *server.Peer, cmd string, args ...string) bool {
		if strings.HasPrefix(cmd, "EVAL") {
			n, _ := strconv.ParseInt(args[1], 10, 64)
			largest.Store(max(largest.Load(), n))
		}
		return false
	})
	return &largest
}

// TestTermsInAGroup has each claim keep its own.
func TestTermsInAGroup(t *testing.T) {
	clock := newClock()
	r := openRedis(t, "redis://"+startMiniredis(t, clock).Addr(), "awareid")
	long := terms
	long.Lease = 2 * lease
	all, under := []event.Claim{stranger(), stranger(), stranger()}, []event.Terms{terms, long, terms}
	for range 2 { // what is answered, and what is stored
		answers, err := r.ClaimUnder(t.Context(), all, under)
		require.NoError(t, err)
		for i := range all {
			require.Equal(t, clock.now().Add(under[i].Lease).UnixMilli(), answers[i].Claim.LeaseUntil.UnixMilli())
		}
	}
}

// TestBadKeysInAGroup has keys that are none of ours among others.
func TestBadKeysInAGroup(t *testing.T) {
	for _, scheme := range []string{"redis://", "redis+cluster://"} {
		t.Run(scheme, func(t *testing.T) {
			m := startMiniredis(t, newClock())
			r := openRedis(t, scheme+m.Addr(), "awareid")
			all := make([]event.Claim, 100)
			for i := range all {
				all[i] = stranger()
			}
			for _, bad := range []string{"claim:" + all[10].Key, "alias:" + all[20].Alias} {
				_, err := m.Push("awareid:"+bad, "something else")
				require.NoError(t, err)
			}

			for range 2 {
				answers, err := r.ClaimTogether(t.Context(), all, terms)
				require.NoError(t, err)
				for i, a := range answers {
					if i == 10 || i == 20 {
						require.ErrorContains(t, a.Err, "WRONGTYPE", i)
						continue
					}
					require.NoError(t, a.Err)
					require.Equal(t, event.Granted, a.Verdict, i)
					require.Equal(t, all[i].Key, a.Claim.AliasOf)
				}
			}

			done := make([]event.Delivery, len(all))
			for i, c := range all {
				done[i] = event.Delivery{Key: c.Key, Token: c.Token, Place: c.Place, Keep: keep}
			}
			_, err := r.Confirm(t.Context(), done)
			require.ErrorContains(t, err, "WRONGTYPE")
			answers, err := r.ClaimTogether(t.Context(), all[11:20], terms)
			require.NoError(t, err)
			for _, a := range answers {
				require.Equal(t, event.Delivered, a.Verdict, "the others are noted all the same")
			}
		})
	}
}

// TestServerWithSlots has a server that takes one key at a time, and a URL that does
// not say so.
func TestServerWithSlots(t *testing.T) {
	m := startMiniredis(t, newClock())
	m.Server().SetPreHook(func(c *server.Peer, cmd string, args ...string) bool {
		several := strings.HasPrefix(cmd, "EVAL") && args[1] != "1"
		if several {
			c.WriteError("CROSSSLOT Keys in request don't hash to the same slot")
		}
		return several
	})
	f := fixture{claims: openRedis(t, "redis://"+m.Addr(), "awareid")}
	require.Equal(t, key, f.aliasOf(t, "evt-1"))
	other := stranger()
	require.Equal(t, []bool{true, true}, f.confirm(t,
		event.Delivery{Key: key, Token: "token of evt-1", Keep: keep, Alias: aliasOfEvt1},
		event.Delivery{Key: other.Key, Token: other.Token, Keep: keep}))
	f.want(t, event.Delivered, "b")
}
