package reconcile

import "awareid-gateway/internal/awareid"

// LimitKeys makes runs forget the bound that memory sets.
func LimitKeys(o Options, n int) Options {
	o.maxKeys = n
	return o
}

// MemberOf is what joins an event.
var MemberOf = memberOf

// BeganAt is when an enrollment began.
func BeganAt(object string) (string, bool) {
	t, ok := beganAt(awareid.Enrollment{Object: []byte(object)})
	return t.Format("2006-01-02T15:04:05.999Z07:00"), ok
}
