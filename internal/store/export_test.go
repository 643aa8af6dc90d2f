package store

import (
	"context"
	"slices"

	"awareid-gateway/internal/event"
)

// Answer is what one of several claims got.
type Answer struct {
	Claim   event.Claim
	Verdict event.Verdict
	Err     error
}

// ClaimTogether makes claims as one group, which a load makes by itself.
func (r *Redis) ClaimTogether(ctx context.Context, all []event.Claim, terms event.Terms) ([]Answer, error) {
	return r.ClaimUnder(ctx, all, slices.Repeat([]event.Terms{terms}, len(all)))
}

// ClaimUnder is ClaimTogether with the terms of each.
func (r *Redis) ClaimUnder(ctx context.Context, all []event.Claim, terms []event.Terms) ([]Answer, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	calls := make([]claimCall, len(all))
	for i, c := range all {
		if err := checkClaim(c, terms[i]); err != nil {
			return nil, err
		}
		calls[i] = claimCall{c, terms[i]}
	}
	told, err := r.claimAll(ctx, calls)
	answers := make([]Answer, len(told))
	for i, a := range told {
		answers[i] = Answer{a.claim, a.verdict, a.err}
	}
	return answers, err
}
