package main

import "fmt"

// The bounds that hold under each attack.
const (
	// maxSlowdown is how many times the quiet p99 the honest p99 may be.
	maxSlowdown = 3
	// ownMemory is what the process may take besides the bodies, which may take
	// HTTP_BODY_BUDGET_BYTES.
	ownMemory  = 128 << 20
	bodyBudget = 64 << 20 // the default
)

// row is what an attack did.
type row struct {
	Attack    string   `json:"attack"`
	Imitates  string   `json:"imitates"`
	Honest    phase    `json:"honest"`
	Slowdown  float64  `json:"slowdown"` // p99 against the quiet one
	Attacker  classes  `json:"attacker"`
	Strength  strength `json:"strength"`
	AtLeast   strength `json:"atLeast"`
	Note      string   `json:"note,omitempty"`
	Memory    int64    `json:"memory"` // peak, in bytes
	BodyBytes int64    `json:"bodyBytes"`
	Failures  int      `json:"failures"` // answers 5xx
	Internal  int      `json:"internal"` // of these, faults of the gateway's own
	Surprises int      `json:"surprises"`
	Examples  []string `json:"examples,omitempty"`
	Broken    []string `json:"broken,omitempty"`
}

// judge names the bounds that the row breaks.
func (r row) judge() (broken []string) {
	say := func(format string, args ...any) { broken = append(broken, fmt.Sprintf(format, args...)) }
	if r.Honest.Lost > 0 {
		say("%d honest events were lost: %q", r.Honest.Lost, r.Honest.Why)
	}
	if r.Slowdown > maxSlowdown {
		say("the honest p99 is %.1f times the quiet one", r.Slowdown)
	}
	if r.Memory >= ownMemory+bodyBudget {
		say("%d MiB of memory", r.Memory>>20)
	}
	if r.BodyBytes > bodyBudget {
		say("%d bytes of bodies", r.BodyBytes)
	}
	if r.Internal > 0 {
		say("%d answers 500", r.Internal)
	}
	if r.Surprises > 0 {
		say("%d surprises: %q", r.Surprises, r.Examples)
	}
	if r.weak() {
		say("too weak: %d connections at once and %d requests, where %d and %d are the least", r.Strength.Connections, r.Strength.Requests, r.AtLeast.Connections, r.AtLeast.Requests)
	}
	return broken
}

// weak says that the attack hardly took place: the other bounds say nothing.
func (r row) weak() bool {
	return r.Strength.Connections < r.AtLeast.Connections || r.Strength.Requests < r.AtLeast.Requests
}

// bounds is the judgement in a word.
func (r row) bounds() string {
	switch {
	case r.weak():
		return "TOO WEAK"
	case len(r.Broken) > 0:
		return "BROKEN"
	default:
		return "hold"
	}
}

// slowdown compares with the quiet p99.
func slowdown(quiet, now phase) float64 {
	return float64(now.P99) / float64(quiet.P99)
}
