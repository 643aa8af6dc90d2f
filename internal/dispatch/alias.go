package dispatch

import (
	"context"
	"strings"
	"time"

	"awareid-gateway/internal/event"
)

// grant is the right to produce: the claim on the event's id and, where its
// transaction number belongs to another id, the claim on that one too, both with
// one token. The record goes where the latter says, which its heirs read back.
// Without a right the verdict says why.
type grant struct {
	event.Claim
	verdict event.Verdict
	at      time.Time // the leases had not begun then
	own     bool      // the claim on the event's id is held, whatever the verdict
	heir    bool      // that one is inherited
	doubts  []doubt   // where and from where the former owners may have written
}

// renamed says that a claimed event is the one that its number belongs to, under
// another id. Two callbacks are two events whatever their numbers: should those not
// be the events' own after all, nothing that was sent is lost for it.
func renamed(c event.Claim) bool {
	return c.AliasOf != "" && c.AliasOf != c.Key && (c.Fetched || c.AliasFetched)
}

// names are the keys of all claims of a grant.
func names(c event.Claim) []string {
	if renamed(c) {
		return []string{c.Key, c.AliasOf}
	}
	return []string{c.Key}
}

// ask asks once for all that is needed to produce. On an error the claim that is
// returned names what may have been granted.
func (d *Dispatcher) ask(ctx context.Context, c event.Claim) (grant, error) {
	g := grant{Claim: c, at: d.opts.Now()}
	own, verdict, err := d.store.Claim(ctx, c, d.opts.Terms)
	if err != nil {
		return g, err
	}
	own.Fetched = c.Fetched
	g.Claim, g.verdict = own, verdict
	if verdict != event.Granted && verdict != event.Inherited {
		return g, nil
	}
	g.own, g.heir = true, verdict == event.Inherited
	g.inherit(own, verdict)
	if renamed(own) {
		err = d.askFirst(ctx, &g)
	}
	return g, err
}

// askFirst claims the id that the number belongs to. As long as that claim is
// somebody else's, its own outcome is open. Where its event is delivered, so is
// this one.
func (d *Dispatcher) askFirst(ctx context.Context, g *grant) error {
	first, verdict, err := d.store.Claim(ctx, event.Claim{
		Key: g.AliasOf, Token: g.Token, Replica: g.Replica, Place: g.Place, FromOffset: g.FromOffset,
	}, d.opts.Terms)
	if err != nil {
		return err
	}
	g.verdict = verdict
	switch verdict {
	case event.Busy:
		return nil
	case event.Delivered:
		d.confirms.add(event.Delivery{
			Key: g.Key, Token: g.Token, Offset: first.Offset, Place: first.Place, Keep: d.opts.Terms.Keep,
		})
	}
	d.metrics.renamed.Inc()
	g.inherit(first, verdict)
	g.Place, g.FromOffset = first.Place, first.FromOffset
	if first.Memory != g.Memory {
		g.Memory = "" // no memory holds both
	}
	return nil
}

func (g *grant) inherit(c event.Claim, v event.Verdict) {
	if v == event.Inherited {
		g.doubts = append(g.doubts, doubt{Place: c.Place, FromOffset: c.FromOffset})
	}
}

// identities are those of all records that stand for the event: under its id,
// under its number as fetched or called back, whatever it is not itself, and under
// the id that the number belongs to, by a version that wrote no numbers.
func (dl *delivery) identities(c event.Claim) [][]event.Header {
	dl.identify()
	all := [][]event.Header{dl.identity}
	if dl.number != nil {
		all = append(all, dl.number.Identity)
	}
	if renamed(c) {
		first := event.Event{ID: strings.TrimPrefix(c.AliasOf, dl.webhook+"/")}
		all = append(all, first.Identity(dl.webhook))
	}
	return all
}

// findAny looks for a record of any of some identities. Those who look in one
// partition at the same time share the reading.
func findAny(ctx context.Context, identities [][]event.Header, find func(context.Context, []event.Header) (int64, bool, error)) (int64, bool, error) {
	if len(identities) == 1 {
		return find(ctx, identities[0])
	}
	type answer struct {
		offset int64
		found  bool
		err    error
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	answers := make(chan answer, len(identities))
	for _, headers := range identities {
		go func() {
			var a answer
			a.offset, a.found, a.err = find(ctx, headers)
			answers <- a
		}()
	}
	var failed error
	for range identities {
		a := <-answers
		if a.err == nil && a.found {
			return a.offset, true, nil
		}
		if a.err != nil {
			failed = a.err
		}
	}
	return 0, false, failed
}
