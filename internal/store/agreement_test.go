package store_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/event"
)

// FuzzAgreement plays one and the same story on both stores, with a clock that
// they share: the rules are written down twice, in Lua and in Go, and must answer
// alike. Each pair of bytes of the story is one call, or some time.
//
// It also holds both to the promise of the package: a key that was confirmed is
// not granted or inherited until its time to keep is over.
func FuzzAgreement(f *testing.F) {
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 1))
		story := make([]byte, 200)
		for i := range story {
			story[i] = byte(random.Uint32())
		}
		f.Add(story)
	}

	f.Fuzz(func(t *testing.T, story []byte) {
		onRedis, onFile := onMiniredis(t), onFile(t)
		keptUntil := map[string]time.Time{}
		for i := 0; i+1 < len(story) && i < 400; i += 2 {
			call, with := story[i], story[i+1]
			inRedis := play(t, onRedis, call, with)
			inFile := play(t, onFile, call, with)
			require.Equal(t, inRedis, inFile, "call %d: %d with %d", i/2, call%8, with)
			checkOnce(t, keptUntil, onFile.now(), inFile)
		}
	})
}

// told is what a store answered to one call.
type told struct {
	key       string
	claim     event.Claim
	verdict   event.Verdict
	ok        bool
	confirmed time.Duration
}

func play(t *testing.T, f fixture, call, with byte) told {
	c := attempt([]string{"a", "b", "c"}[with%3])
	c.Key = []string{"w/1", "w/2"}[with/3%2]
	c.FromOffset = int64(with)
	c.Partition = int(with / 16)
	if with%5 > 1 {
		c.Alias = []string{"w/type/1", "w/type/2", "w/other/1"}[with%5-2]
	}
	units := time.Duration(with/8 + 1)
	short := event.Terms{
		Lease:        units * 7 * time.Second,
		TakeoverWait: time.Duration(with%4) * 5 * time.Second,
		Keep:         units * time.Minute,
	}

	out := told{key: c.Key}
	var err error
	switch call % 8 {
	case 0, 1:
		out.claim, out.verdict, err = f.Claim(t.Context(), c, short)
		out.claim.Memory = "" // a File has none
	case 2:
		out.ok, err = f.Renew(t.Context(), c.Key, c.Token, short.Lease)
	case 3:
		out.ok, err = f.Spool(t.Context(), c.Key, c.Token)
	case 4:
		var oks []bool
		d := event.Delivery{Key: c.Key, Token: c.Token, Offset: int64(call), Place: c.Place, Keep: short.Keep}
		if call > 128 {
			d.Alias = c.Alias
		}
		if oks, err = f.Confirm(t.Context(), []event.Delivery{d}); err == nil && oks[0] {
			out.ok, out.confirmed = true, d.Keep
		}
	case 5:
		err = f.Release(t.Context(), c.Key, c.Token)
	case 6:
		f.pass(units * time.Second)
	case 7:
		f.pass(time.Duration(with) * time.Second / 4)
	}
	require.NoError(t, err)
	return out
}

func checkOnce(t *testing.T, keptUntil map[string]time.Time, now time.Time, got told) {
	if got.confirmed > 0 {
		if until := now.Add(got.confirmed); until.After(keptUntil[got.key]) {
			keptUntil[got.key] = until
		}
	}
	if got.verdict != 0 && now.Before(keptUntil[got.key]) {
		require.Equal(t, event.Delivered, got.verdict, "it was confirmed before")
	}
}
