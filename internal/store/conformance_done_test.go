package store_test

import (
	"context"
	"fmt"
	"math"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/event"
	"awareid-gateway/internal/store"
)

// The promises about deliveries, about what is remembered, and about bad calls.

func deliveredStays(t *testing.T, f fixture) {
	f.want(t, event.Granted, "a")
	require.Equal(t, []bool{true}, f.confirm(t, delivery("a")))
	require.Equal(t, []bool{true}, f.confirm(t, delivery("a")), "repeated")
	require.Equal(t, []bool{false}, f.confirm(t, delivery("b")))

	f.pass(keep - time.Second)
	for _, token := range []string{"a", "b"} {
		got, verdict := f.mustClaim(t, attempt(token))
		require.Equal(t, event.Delivered, verdict)
		require.Equal(t, event.Claim{
			Key: key, Token: "a", State: event.Done,
			Place: attempt("").Place, Offset: 712,
		}, got)
	}
}

// A store may rely on a lease that it has told of, and on nothing else that it was told.
func confirmedUnderItsLease(t *testing.T, f fixture) {
	mine, _ := f.mustClaim(t, attempt("a"))
	under := func(token string) event.Delivery {
		d := delivery(token)
		d.LeaseUntil = mine.LeaseUntil
		return d
	}
	require.Equal(t, []bool{false}, f.confirm(t, under("b")), "somebody else's")
	f.pass(lease - time.Second)
	require.Equal(t, []bool{true}, f.confirm(t, under("a")))
	require.Equal(t, []bool{true}, f.confirm(t, under("a")), "repeated")
	require.Equal(t, []bool{false}, f.confirm(t, under("b")))
	f.pass(keep - time.Second)
	got, verdict := f.mustClaim(t, attempt("b"))
	require.Equal(t, event.Delivered, verdict)
	require.EqualValues(t, 712, got.Offset)
	f.pass(lease + time.Second)
	f.want(t, event.Granted, "b")

	f.pass(lease + wait + time.Second)
	f.want(t, event.Inherited, "c")
	late := under("b")
	late.LeaseUntil = mine.LeaseUntil.Add(24 * time.Hour) // it is wrong about its lease
	require.Equal(t, []bool{false}, f.confirm(t, late), "inherited")

	lost := under("a")
	lost.Key, lost.LeaseUntil = "webhook/lost", late.LeaseUntil
	require.Equal(t, []bool{true}, f.confirm(t, lost), "a claim that is lost is written anew")
	f.pass(keep - time.Second)
	again := attempt("b")
	again.Key = lost.Key
	_, verdict = f.mustClaim(t, again)
	require.Equal(t, event.Delivered, verdict)
}

func manyAtOnce(t *testing.T, f fixture) {
	require.Empty(t, f.confirm(t))

	var done []event.Delivery
	var want []bool
	for i := range 150 {
		c := attempt("a")
		c.Key = fmt.Sprintf("webhook/%d", i)
		_, verdict := f.mustClaim(t, c)
		require.Equal(t, event.Granted, verdict)

		d := delivery("a")
		d.Key, d.Offset = c.Key, int64(i)
		if i%7 == 0 {
			d.Token = "thief"
		}
		done, want = append(done, d), append(want, i%7 != 0)
	}
	require.Equal(t, want, f.confirm(t, done...))

	for i, d := range done {
		c := attempt("b")
		c.Key = d.Key
		got, verdict := f.mustClaim(t, c)
		if !want[i] {
			require.Equal(t, event.Busy, verdict)
			continue
		}
		require.Equal(t, event.Delivered, verdict)
		require.Equal(t, d.Offset, got.Offset)
	}
}

func readEndsTheClaim(t *testing.T, f fixture) {
	f.want(t, event.Granted, "a")
	read := delivery("reader")
	read.Read = true
	require.Equal(t, []bool{true}, f.confirm(t, read))
	require.Equal(t, []bool{false}, f.confirm(t, delivery("a")), "it has no say any more")
	got, verdict := f.mustClaim(t, attempt("b"))
	require.Equal(t, event.Delivered, verdict)
	require.EqualValues(t, 712, got.Offset)

	other := read
	other.Token, other.Offset = "another reader", 1
	require.Equal(t, []bool{false}, f.confirm(t, other), "it is known already")
	got, _ = f.mustClaim(t, attempt("b"))
	require.EqualValues(t, 712, got.Offset)
}

func lostRecord(t *testing.T, f fixture) {
	require.Equal(t, []bool{true}, f.confirm(t, delivery("a")))
	got, verdict := f.mustClaim(t, attempt("b"))
	require.Equal(t, event.Delivered, verdict)
	require.Equal(t, attempt("").Place, got.Place)
	require.EqualValues(t, 712, got.Offset)

	f.pass(keep + time.Second)
	f.want(t, event.Granted, "b")
}

func releasedIsFree(t *testing.T, f fixture) {
	f.release(t, "a") // nothing there
	f.want(t, event.Granted, "a")
	f.release(t, "a")
	f.release(t, "a") // repeated
	f.want(t, event.Granted, "b")

	require.True(t, f.spool(t, "b"))
	f.release(t, "b")
	f.want(t, event.Granted, "c")
}

// What a first owner may have done is not forgotten because its successor gave up.
func releasedInheritanceStays(t *testing.T, f fixture) {
	f.want(t, event.Granted, "a")
	f.pass(lease + wait + time.Second)
	for _, token := range []string{"b", "c"} {
		late := attempt(token)
		late.FromOffset = 9000
		got, verdict := f.mustClaim(t, late)
		require.Equal(t, event.Inherited, verdict)
		require.Equal(t, attempt("a").FromOffset, got.FromOffset)
		f.release(t, token)
		f.release(t, token)
	}
	f.want(t, event.Inherited, "d")
	f.want(t, event.Busy, "e")
}

func onlyOwnIsReleased(t *testing.T, f fixture) {
	f.want(t, event.Granted, "a")
	f.release(t, "b")
	f.want(t, event.Busy, "b")

	f.confirm(t, delivery("a"))
	f.release(t, "a")
	f.want(t, event.Delivered, "b")
}

func recordOutlivesLease(t *testing.T, f fixture) {
	f.want(t, event.Granted, "a")
	f.pass(keep - time.Minute)
	f.want(t, event.Inherited, "b")
	f.pass(keep - time.Minute)
	f.want(t, event.Inherited, "c")
	f.pass(keep + lease + time.Second)
	f.want(t, event.Granted, "d")
}

func keepOnlyGrows(t *testing.T, f fixture) {
	f.want(t, event.Granted, "a")
	brief := delivery("a")
	brief.Keep = time.Minute
	f.confirm(t, brief)
	f.pass(keep - time.Minute)
	f.want(t, event.Delivered, "b")

	f.confirm(t, delivery("a"))
	f.pass(keep - time.Minute)
	f.want(t, event.Delivered, "b")
	f.pass(2 * time.Minute)
	f.want(t, event.Granted, "b")

	long, err := f.Renew(t.Context(), key, "b", 3*keep)
	require.NoError(t, err)
	require.True(t, long)
	f.pass(2 * keep)
	f.want(t, event.Busy, "c")
}

func largeValues(t *testing.T, f fixture) {
	c := attempt("a")
	c.FromOffset, c.Partition = math.MaxInt64, math.MaxInt32
	got, _ := f.mustClaim(t, c)
	require.Equal(t, c.FromOffset, got.FromOffset)
	require.Equal(t, c.Place, got.Place)

	d := delivery("a")
	d.Offset, d.Place = math.MaxInt64-1, c.Place
	require.Equal(t, []bool{true}, f.confirm(t, d))
	got, _ = f.mustClaim(t, c)
	require.Equal(t, d.Offset, got.Offset)
	require.Equal(t, c.Place, got.Place)
}

func keysDoNotMeet(t *testing.T, f fixture) {
	for _, key := range []string{"w/1", "w/1 ", "w/{1}", "w/{}1", "w/:1", `w/"1\`, "w/*", "W/1", "w/1/"} {
		c := attempt("token of " + key)
		c.Key = key
		got, verdict := f.mustClaim(t, c)
		require.Equal(t, event.Granted, verdict, key)
		require.Equal(t, key, got.Key)
	}
}

func incompleteIsRefused(t *testing.T, f fixture) {
	for name, spoil := range map[string]func(*event.Claim, *event.Terms){
		"key":                func(c *event.Claim, _ *event.Terms) { c.Key = "" },
		"token":              func(c *event.Claim, _ *event.Terms) { c.Token = "" },
		"token of two lines": func(c *event.Claim, _ *event.Terms) { c.Token = "a\nb" },
		"topic of two lines": func(c *event.Claim, _ *event.Terms) { c.Topic = "a\n" },

		"lease": func(_ *event.Claim, t *event.Terms) { t.Lease = 999 * time.Microsecond },
		"wait":  func(_ *event.Claim, t *event.Terms) { t.TakeoverWait = -1 },
		"keep":  func(_ *event.Claim, t *event.Terms) { t.Keep = 0 },

		"alias of another webhook": func(c *event.Claim, _ *event.Terms) { c.Alias = "other/type/1" },
		"alias of no webhook":      func(c *event.Claim, _ *event.Terms) { c.Alias = "1" },
	} {
		c, bad := attempt("a"), terms
		spoil(&c, &bad)
		_, _, err := f.Claim(t.Context(), c, bad)
		require.ErrorIs(t, err, store.ErrInvalid, name)
	}
	for name, spoil := range map[string]func(*event.Delivery){
		"key":   func(d *event.Delivery) { d.Key = "" },
		"token": func(d *event.Delivery) { d.Token = "" },
		"keep":  func(d *event.Delivery) { d.Keep = 0 },

		"token of two lines": func(d *event.Delivery) { d.Token = "a\nb" },
		"topic of two lines": func(d *event.Delivery) { d.Topic = "a\n" },

		"alias of another webhook": func(d *event.Delivery) { d.Alias = "other/type/1" },
	} {
		bad := delivery("a")
		spoil(&bad)
		_, err := f.Confirm(t.Context(), []event.Delivery{delivery("a"), bad})
		require.ErrorIs(t, err, store.ErrInvalid, name)
	}
	f.want(t, event.Granted, "a") // nothing was stored
}

func oneOfMany(t *testing.T, f fixture) {
	verdicts := make([]event.Verdict, 64)
	var all sync.WaitGroup
	for i := range verdicts {
		on := []claims{f.claims, f.replica}[i%2]
		all.Go(func() {
			var err error
			if _, verdicts[i], err = on.Claim(t.Context(), attempt(fmt.Sprint(i)), terms); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()

	count := map[event.Verdict]int{}
	for _, verdict := range verdicts {
		count[verdict]++
	}
	require.Equal(t, map[event.Verdict]int{event.Granted: 1, event.Busy: 63}, count)
}

func endedContext(t *testing.T, f fixture) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, _, err := f.Claim(ctx, attempt("a"), terms)
	require.ErrorIs(t, err, context.Canceled)
	_, err = f.Renew(ctx, key, "a", lease)
	require.ErrorIs(t, err, context.Canceled)
	_, err = f.Spool(ctx, key, "a")
	require.ErrorIs(t, err, context.Canceled)
	_, err = f.Confirm(ctx, []event.Delivery{delivery("a")})
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorIs(t, f.Release(ctx, key, "a"), context.Canceled)

	f.want(t, event.Granted, "b") // nothing was stored
}

func closedStore(t *testing.T, f fixture) {
	require.NoError(t, f.Close())

	require.Error(t, f.Ping(t.Context()))
	_, _, err := f.Claim(t.Context(), attempt("a"), terms)
	require.Error(t, err)
	_, err = f.Renew(t.Context(), key, "a", lease)
	require.Error(t, err)
	_, err = f.Spool(t.Context(), key, "a")
	require.Error(t, err)
	_, err = f.Confirm(t.Context(), []event.Delivery{delivery("a")})
	require.Error(t, err)
	require.Error(t, f.Release(t.Context(), key, "a"))
}
