package store

import (
	"context"

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
	calls := make([]claimCall, len(all))
	for i, c := range all {
		calls[i] = claimCall{c, terms}
	}
	told, err := r.claimAll(ctx, calls)
	answers := make([]Answer, len(told))
	for i, a := range told {
		answers[i] = Answer{a.claim, a.verdict, a.err}
	}
	return answers, err
}
