package store_test

import (
	"maps"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/event"
)

const (
	lease = 30 * time.Second
	wait  = 10 * time.Second
	keep  = time.Hour
)

var terms = event.Terms{Lease: lease, TakeoverWait: wait, Keep: keep}

// attempt is a claim as a gateway makes it.
func attempt(token string) event.Claim {
	return event.Claim{
		Key:        "0123456789abcdef0123456789abcdef/evt-1",
		Token:      token,
		Replica:    "gateway-" + token,
		Place:      event.Place{Topic: "awareid.enrollment", Partition: 3},
		FromOffset: 700,
	}
}

var key = attempt("").Key

func delivery(token string) event.Delivery {
	return event.Delivery{Key: key, Token: token, Offset: 712, Place: attempt("").Place, Keep: keep}
}

func (f fixture) mustClaim(t *testing.T, c event.Claim) (event.Claim, event.Verdict) {
	t.Helper()
	got, verdict, err := f.Claim(t.Context(), c, terms)
	require.NoError(t, err)
	got.Memory = "" // a File has none
	return got, verdict
}

func (f fixture) want(t *testing.T, want event.Verdict, token string) {
	t.Helper()
	_, verdict := f.mustClaim(t, attempt(token))
	require.Equal(t, want, verdict)
}

func (f fixture) confirm(t *testing.T, done ...event.Delivery) []bool {
	t.Helper()
	oks, err := f.Confirm(t.Context(), done)
	require.NoError(t, err)
	return oks
}

func (f fixture) renew(t *testing.T, token string) bool {
	t.Helper()
	ok, err := f.Renew(t.Context(), key, token, lease)
	require.NoError(t, err)
	return ok
}

func (f fixture) spool(t *testing.T, token string) bool {
	t.Helper()
	ok, err := f.Spool(t.Context(), key, token)
	require.NoError(t, err)
	return ok
}

func (f fixture) release(t *testing.T, token string) {
	t.Helper()
	require.NoError(t, f.Release(t.Context(), key, token))
}

// wantLease expects a lease that ends d from now, give or take the time that the
// calls took on a store whose clock runs.
func (f fixture) wantLease(t *testing.T, d time.Duration, c event.Claim) {
	t.Helper()
	if f.stopped {
		require.Equal(t, f.now().Add(d).UnixMilli(), c.LeaseUntil.UnixMilli())
		return
	}
	require.WithinDuration(t, f.now().Add(d), c.LeaseUntil, 5*time.Second)
}

// TestConformance holds every store to the same promises.
func TestConformance(t *testing.T) {
	cases := map[string]func(*testing.T, fixture){
		"the first claim is granted":                  firstIsGranted,
		"a repeated claim gets its first answer":      repeatIsAnsweredAlike,
		"another token has to wait":                   otherIsBusy,
		"the claimer's own wait counts":               ownWaitCounts,
		"an abandoned claim is inherited":             abandonedIsInherited,
		"who lost a claim has no say":                 loserHasNoSay,
		"a renewed claim is not inherited":            renewedIsKept,
		"a lease that is over can be renewed":         lateRenewal,
		"a spooled claim is not inherited":            spooledIsKept,
		"only the owner spools":                       onlyOwnerSpools,
		"a delivered event stays delivered":           deliveredStays,
		"a confirmation under its lease":              confirmedUnderItsLease,
		"many deliveries are confirmed at once":       manyAtOnce,
		"what was read ends an open claim":            readEndsTheClaim,
		"a confirmation makes up for a lost record":   lostRecord,
		"a released claim is free":                    releasedIsFree,
		"a released inheritance stays one":            releasedInheritanceStays,
		"only an open claim of one's own is released": onlyOwnIsReleased,
		"a record outlives its lease":                 recordOutlivesLease,
		"times to keep only grow":                     keepOnlyGrows,
		"large values come back whole":                largeValues,
		"keys do not meet":                            keysDoNotMeet,
		"incomplete claims are refused":               incompleteIsRefused,
		"of 64 at once one is granted":                oneOfMany,
		"an ended context is an error":                endedContext,
		"a closed store is an error":                  closedStore,

		"an alias belongs to the first":                  aliasOfTheFirst,
		"an alias outlives a claim that was given up":    aliasOutlivesItsClaim,
		"an alias is told beside every verdict":          aliasBesideEachVerdict,
		"an alias is remembered as long as a claim":      aliasIsKept,
		"a delivered event takes its alias":              aliasIsTaken,
		"aliases do not meet, with each other or claims": aliasesDoNotMeet,
		"of 64 with one alias one has it":                oneAliasOfMany,
	}
	all := backends()
	maps.Copy(all, shapes())
	for backend, open := range all {
		t.Run(backend, func(t *testing.T) {
			for name, run := range cases {
				t.Run(name, func(t *testing.T) { run(t, open(t)) })
			}
		})
	}
}
