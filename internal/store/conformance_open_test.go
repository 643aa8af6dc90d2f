package store_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/event"
)

// The promises about claims that are open.

func firstIsGranted(t *testing.T, f fixture) {
	require.NoError(t, f.Ping(t.Context()))
	got, verdict := f.mustClaim(t, attempt("a"))

	require.Equal(t, event.Granted, verdict)
	f.wantLease(t, lease, got)
	want := attempt("a")
	want.State, want.LeaseUntil = event.Claimed, got.LeaseUntil
	require.Equal(t, want, got)
}

func repeatIsAnsweredAlike(t *testing.T, f fixture) {
	first, _ := f.mustClaim(t, attempt("a"))

	short := terms
	short.Lease = time.Second
	again, verdict, err := f.Claim(t.Context(), attempt("a"), short)
	again.Memory = "" // a File has none
	require.NoError(t, err)
	require.Equal(t, event.Granted, verdict)
	require.Equal(t, first, again, "the lease is not shortened")

	f.pass(10 * time.Second)
	later, verdict := f.mustClaim(t, attempt("a"))
	require.Equal(t, event.Granted, verdict)
	f.wantLease(t, lease, later)

	f.pass(lease + wait + time.Second)
	f.want(t, event.Granted, "a")
}

func otherIsBusy(t *testing.T, f fixture) {
	mine, _ := f.mustClaim(t, attempt("a"))
	other := attempt("b")
	other.Place = event.Place{Topic: "awareid.other", Partition: 9}
	seen, verdict := f.mustClaim(t, other)
	require.Equal(t, event.Busy, verdict)
	require.Equal(t, mine, seen, "the owner's record")

	f.pass(lease + wait - time.Second)
	f.want(t, event.Busy, "b")
	if !f.stopped {
		return
	}
	f.pass(time.Second)
	f.want(t, event.Busy, "b")
	f.pass(time.Millisecond)
	f.want(t, event.Inherited, "b")
}

func ownWaitCounts(t *testing.T, f fixture) {
	f.want(t, event.Granted, "a")
	f.pass(lease + time.Second)
	f.want(t, event.Busy, "b")

	eager := terms
	eager.TakeoverWait = 0
	_, verdict, err := f.Claim(t.Context(), attempt("c"), eager)
	require.NoError(t, err)
	require.Equal(t, event.Inherited, verdict)
}

func abandonedIsInherited(t *testing.T, f fixture) {
	f.want(t, event.Granted, "a")
	for _, token := range []string{"b", "c"} {
		f.pass(lease + wait + time.Second)
		heir := attempt(token)
		heir.Place = event.Place{Topic: "awareid.other", Partition: 9}
		heir.FromOffset = 5000
		got, verdict := f.mustClaim(t, heir)
		require.Equal(t, event.Inherited, verdict)

		want := attempt(token)
		want.State, want.LeaseUntil = event.Claimed, got.LeaseUntil
		require.Equal(t, want, got, "place and offset are the first owner's")
		f.wantLease(t, lease, got)

		f.want(t, event.Inherited, token)
		f.want(t, event.Busy, "x")
	}
}

func loserHasNoSay(t *testing.T, f fixture) {
	f.want(t, event.Granted, "a")
	f.pass(lease + wait + time.Second)
	f.want(t, event.Inherited, "b")

	f.want(t, event.Busy, "a")
	require.False(t, f.renew(t, "a"))
	require.False(t, f.spool(t, "a"))
	require.Equal(t, []bool{false}, f.confirm(t, delivery("a")))
	f.release(t, "a")

	require.True(t, f.renew(t, "b"))
	require.Equal(t, []bool{true}, f.confirm(t, delivery("b")))
}

func renewedIsKept(t *testing.T, f fixture) {
	f.want(t, event.Granted, "a")
	for range 4 {
		f.pass(lease - time.Second)
		require.True(t, f.renew(t, "a"))
	}
	f.want(t, event.Busy, "b")
	require.False(t, f.renew(t, "b"))

	ok, err := f.Renew(t.Context(), key, "a", time.Second)
	require.NoError(t, err)
	require.True(t, ok)
	got, _ := f.mustClaim(t, attempt("b"))
	f.wantLease(t, lease, got) // not shortened

	ok, err = f.Renew(t.Context(), "no such key", "a", lease)
	require.NoError(t, err)
	require.False(t, ok)

	f.confirm(t, delivery("a"))
	require.False(t, f.renew(t, "a"))
}

func lateRenewal(t *testing.T, f fixture) {
	f.want(t, event.Granted, "a")
	f.pass(lease + wait + time.Minute)
	require.True(t, f.renew(t, "a"))
	f.want(t, event.Busy, "b")
}

func spooledIsKept(t *testing.T, f fixture) {
	f.want(t, event.Granted, "a")
	require.True(t, f.spool(t, "a"))
	require.True(t, f.spool(t, "a"), "repeated")
	require.False(t, f.renew(t, "a"), "it has no lease")

	f.pass(keep - time.Minute)
	got, verdict := f.mustClaim(t, attempt("b"))
	require.Equal(t, event.Busy, verdict)
	require.Equal(t, event.Spooled, got.State)
	require.Equal(t, "gateway-a", got.Replica)
	require.Zero(t, got.LeaseUntil)

	own, verdict := f.mustClaim(t, attempt("a"))
	require.Equal(t, event.Granted, verdict, "its owner delivers it")
	require.Equal(t, got, own)

	require.Equal(t, []bool{true}, f.confirm(t, delivery("a")))
	f.want(t, event.Delivered, "b")
}

func onlyOwnerSpools(t *testing.T, f fixture) {
	require.False(t, f.spool(t, "a"), "no claim")
	f.want(t, event.Granted, "a")
	require.False(t, f.spool(t, "b"))
	f.confirm(t, delivery("a"))
	require.False(t, f.spool(t, "a"), "delivered")
	f.want(t, event.Delivered, "a")
}
