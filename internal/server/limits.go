package server

import (
	"net/netip"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/time/rate"
)

// ratedSites bounds how many addresses are remembered for their rate. A
// forgotten one begins anew, with a full bucket.
const ratedSites = 1 << 16

// rates is a token bucket for each address; a second's worth may come at once.
type rates struct {
	perSecond int
	buckets   *lru.Cache[netip.Prefix, *rate.Limiter]
}

// newRates returns nil, which lets everything pass, for no limit.
func newRates(perSecond int) (*rates, error) {
	if perSecond <= 0 {
		return nil, nil
	}
	buckets, err := lru.New[netip.Prefix, *rate.Limiter](ratedSites)
	return &rates{perSecond: perSecond, buckets: buckets}, err
}

// spent says whether allow would be false.
func (r *rates) spent(from netip.Prefix, now time.Time) bool {
	bucket, ok := r.buckets.Peek(from)
	return ok && bucket.TokensAt(now) < 1
}

func (r *rates) allow(from netip.Prefix, now time.Time) bool {
	if r == nil {
		return true
	}
	bucket, ok := r.buckets.Get(from)
	if !ok {
		bucket = rate.NewLimiter(rate.Limit(r.perSecond), r.perSecond)
		if first, ok, _ := r.buckets.PeekOrAdd(from, bucket); ok {
			bucket = first
		}
	}
	return bucket.AllowN(now, 1)
}
