package privacy

import (
	"slices"
	"strings"

	"awareid-gateway/internal/event"
)

// Done is what was done to a payload: the paths that matched, as in
// "drop=$.username,$.data.email;hash=$.data.phone", or "" for nothing. A comma or a
// semicolon in a path stands there as \u002c or \u003b. It tells no value.
type Done string

const (
	dropped = "drop="
	hashed  = "hash="
)

// lists takes it apart.
func (d Done) lists() (drops, hashes []string) {
	for part := range strings.SplitSeq(string(d), ";") {
		if paths, ok := strings.CutPrefix(part, dropped); ok {
			drops = append(drops, strings.Split(paths, ",")...)
		} else if paths, ok := strings.CutPrefix(part, hashed); ok {
			hashes = append(hashes, strings.Split(paths, ",")...)
		}
	}
	return drops, hashes
}

func (d Done) hashed() bool {
	_, hashes := d.lists()
	return len(hashes) > 0
}

// and adds the rules that changed something.
func (d Done) and(rules []rule, changed []bool) Done {
	if !slices.Contains(changed, true) {
		return d
	}
	drops, hashes := d.lists()
	for i, rule := range rules {
		switch {
		case !changed[i]:
		case rule.action == actDrop && !slices.Contains(drops, rule.text):
			drops = append(drops, rule.text)
		case rule.action == actHash && !slices.Contains(hashes, rule.text):
			hashes = append(hashes, rule.text)
		}
	}
	var parts []string
	if len(drops) > 0 {
		parts = append(parts, dropped+strings.Join(drops, ","))
	}
	if len(hashes) > 0 {
		parts = append(parts, hashed+strings.Join(hashes, ","))
	}
	return Done(strings.Join(parts, ";"))
}

// hideFindings hides what could have been changed then. A path that is none of ours
// could be anything.
func (d Done) hideFindings(f *event.Findings) {
	drops, hashes := d.lists()
	for _, text := range append(drops, hashes...) {
		p, err := parsePath(text)
		f.Hide(func(member ...string) bool { return err != nil || p.covers(member...) })
	}
}
