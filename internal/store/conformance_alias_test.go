package store_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/event"
)

// The promises about aliases.

const aliasOfEvt1 = "0123456789abcdef0123456789abcdef/enrollment.started/17"

// aliased is a claim on an event that all of these tests know by the same alias.
func aliased(id, token string) event.Claim {
	c := attempt(token)
	c.Key, c.Alias = "0123456789abcdef0123456789abcdef/"+id, aliasOfEvt1
	return c
}

// aliasOf claims an event, and returns whose the alias is.
func (f fixture) aliasOf(t *testing.T, id string) string {
	t.Helper()
	got, _ := f.mustClaim(t, aliased(id, "token of "+id))
	require.Equal(t, aliasOfEvt1, got.Alias)
	return got.AliasOf
}

func aliasOfTheFirst(t *testing.T, f fixture) {
	for range 2 {
		require.Equal(t, key, f.aliasOf(t, "evt-1"))
		require.Equal(t, key, f.aliasOf(t, "evt-2"))
	}
	got, _ := f.mustClaim(t, attempt("another"))
	require.Empty(t, got.AliasOf, "who asks for none is told none")
}

func aliasOutlivesItsClaim(t *testing.T, f fixture) {
	f.aliasOf(t, "evt-1")
	f.release(t, "token of evt-1")
	require.Equal(t, key, f.aliasOf(t, "evt-2"))
	f.want(t, event.Granted, "who takes its place")
}

func aliasBesideEachVerdict(t *testing.T, f fixture) {
	want := func(verdict event.Verdict, token string) {
		t.Helper()
		got, v := f.mustClaim(t, aliased("evt-2", token))
		require.Equal(t, verdict, v)
		require.Equal(t, key, got.AliasOf)
	}
	f.aliasOf(t, "evt-1")
	want(event.Granted, "a")
	want(event.Busy, "b")
	f.pass(lease + wait + time.Second)
	want(event.Inherited, "b")
	d := delivery("b")
	d.Key = aliased("evt-2", "").Key
	require.Equal(t, []bool{true}, f.confirm(t, d))
	want(event.Delivered, "c")
}

func aliasIsKept(t *testing.T, f fixture) {
	f.aliasOf(t, "evt-1")
	f.pass(keep - time.Minute)
	require.Equal(t, key, f.aliasOf(t, "evt-2"), "and now for longer")
	f.pass(keep - time.Minute)

	short := terms
	short.Keep = lease
	_, _, err := f.Claim(t.Context(), aliased("evt-3", "a"), short)
	require.NoError(t, err)
	f.pass(time.Minute - time.Second)
	require.Equal(t, key, f.aliasOf(t, "evt-3"), "a shorter time takes nothing away")
	f.pass(keep + lease + time.Second)
	require.Equal(t, aliased("evt-2", "").Key, f.aliasOf(t, "evt-2"))
}

func aliasIsTaken(t *testing.T, f fixture) {
	f.aliasOf(t, "evt-2")
	d := delivery("a")
	require.Equal(t, []bool{true}, f.confirm(t, d))
	require.Equal(t, aliased("evt-2", "").Key, f.aliasOf(t, "evt-2"), "without an alias nothing is taken")

	d.Alias = aliasOfEvt1
	other := delivery("a")
	other.Key = "webhook/another"
	for range 2 {
		require.Equal(t, []bool{true, true}, f.confirm(t, d, other))
		require.Equal(t, key, f.aliasOf(t, "evt-2"))
	}
	d.Keep = time.Minute
	f.confirm(t, d)
	f.pass(keep - time.Second)
	require.Equal(t, key, f.aliasOf(t, "evt-2"), "a shorter time takes nothing away")
}

func aliasesDoNotMeet(t *testing.T, f fixture) {
	for i, name := range []struct{ key, alias string }{
		{"w/1", "w/t/1"}, {"w/2", "w/t/2"}, {"w/3", "w/u/1"}, {"v/1", "v/t/1"}, {"w/t/1", "w/3"}, {"w/t/9", "w/1"},
	} {
		c := attempt(fmt.Sprint(i))
		c.Key, c.Alias = name.key, name.alias
		got, verdict := f.mustClaim(t, c)
		require.Equal(t, event.Granted, verdict, name)
		require.Equal(t, name.key, got.AliasOf, name)
	}
}

func oneAliasOfMany(t *testing.T, f fixture) {
	owners := make([]string, 64)
	var all sync.WaitGroup
	for i := range owners {
		on := []claims{f.claims, f.replica}[i%2]
		all.Go(func() {
			got, verdict, err := on.Claim(t.Context(), aliased(fmt.Sprint(i), fmt.Sprint(i)), terms)
			if owners[i] = got.AliasOf; err != nil || verdict != event.Granted {
				t.Errorf("claim %d: verdict %d, %v", i, verdict, err)
			}
		})
	}
	all.Wait()
	for _, owner := range owners {
		require.NotEmpty(t, owner)
		require.Equal(t, owners[0], owner)
	}
}
