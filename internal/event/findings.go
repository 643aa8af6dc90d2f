package event

import (
	"cmp"
	"slices"
	"strconv"
)

// Findings is what the data of an event says of its result, for subscribers that
// route by it without a look into the payload. Each is as the platform wrote it,
// of 1 to 128 printable ASCII characters, or "" where data does not say, says it
// twice or in another shape.
//
// The reference does not state the form of data. Its answers to the same steps
// (checkDevice, enroll, operationStatus) are taken for it, whether data is such
// an answer or the responseDetail in it; what stands in data itself wins.
type Findings struct {
	PolicyDecision   string // such as approve
	FailedAssertions string // how many assertions of all userAssertionList entries are "fail", in decimal
	Status           string // of status, enrollmentStatus, authStatus, completionStatus the first that is there
}

func (f Findings) addTo(l *headerList) {
	l.addIf("aware-policy-decision", f.PolicyDecision)
	l.addIf("aware-failed-assertions", f.FailedAssertions)
	l.addIf("aware-status", f.Status)
}

// Hide empties each finding that could be made of a member for which covers holds.
// Members are named from the top; "*" stands for any member or element.
func (f *Findings) Hide(covers func(member ...string) bool) {
	for _, holder := range [][]string{{"data"}, {"data", "responseDetail"}} {
		in := func(names ...string) bool { return covers(slices.Concat(holder, names)...) }
		if in("policyDecision") {
			f.PolicyDecision = ""
		}
		if in("userAssertionList", "*", "assertions", "*") {
			f.FailedAssertions = ""
		}
		if slices.ContainsFunc(statuses, func(name string) bool { return in(name) }) {
			f.Status = ""
		}
	}
}

// Mask empties each finding that is empty in other.
func (f *Findings) Mask(other Findings) {
	if other.PolicyDecision == "" {
		f.PolicyDecision = ""
	}
	if other.FailedAssertions == "" {
		f.FailedAssertions = ""
	}
	if other.Status == "" {
		f.Status = ""
	}
}

// Members of data. Those of a detail are the same but for the first and the last.
var (
	dataMembers = []string{
		"transactionNum", "policyDecision", "userAssertionList",
		"status", "enrollmentStatus", "authStatus", "completionStatus", "responseDetail",
	}
	detailMembers = dataMembers[1 : len(dataMembers)-1]
	// statuses are in the order in which the first counts.
	statuses         = dataMembers[3:7]
	assertionMembers = []string{"assertions"}
)

// data is what a data object, or the detail in one, holds for us.
type data struct {
	number   string
	decision string
	failed   string
	status   [4]string // as in statuses
	detail   *data
}

func (d *data) findings() Findings {
	f := Findings{PolicyDecision: d.decision, FailedAssertions: d.failed, Status: cmp.Or(d.status[:]...)}
	if d.detail != nil {
		detail := d.detail.findings()
		f.PolicyDecision = cmp.Or(f.PolicyDecision, detail.PolicyDecision)
		f.FailedAssertions = cmp.Or(f.FailedAssertions, detail.FailedAssertions)
		f.Status = cmp.Or(f.Status, detail.Status)
	}
	return f
}

// data reads the data object, if it is one. A transaction number that is there
// twice is an error, as at the top level.
func (p *parser) data(d *data) error {
	if p.dec.PeekKind() != '{' {
		return p.skip()
	}
	return p.members(dataMembers, func(name string, again bool) error {
		switch {
		case name == "transactionNum" && again:
			return errTwice(name)
		case name == "transactionNum":
			return p.number(&d.number)
		case name == "responseDetail":
			return p.detail(d, again)
		}
		return p.finding(d, name, again)
	})
}

func (p *parser) detail(d *data, again bool) error {
	d.detail = nil
	if again || p.dec.PeekKind() != '{' {
		return p.skip()
	}
	d.detail = new(data)
	return p.members(detailMembers, func(name string, again bool) error {
		return p.finding(d.detail, name, again)
	})
}

// finding reads one. Of two with the same name it is not known which one counts,
// so none does.
func (p *parser) finding(d *data, name string, again bool) error {
	dst := d.place(name)
	*dst = ""
	switch {
	case again:
		return p.skip()
	case dst == &d.failed:
		return p.assertionList(dst)
	}
	return p.scalar(dst, printable)
}

func (d *data) place(name string) *string {
	switch name {
	case "policyDecision":
		return &d.decision
	case "userAssertionList":
		return &d.failed
	}
	return &d.status[slices.Index(statuses, name)]
}

// assertionList counts what failed in all entries, and leaves dst empty where no
// entry has assertions.
func (p *parser) assertionList(dst *string) error {
	if p.dec.PeekKind() != '[' {
		return p.skip()
	}
	if _, err := p.dec.ReadToken(); err != nil {
		return errNotJSON(err)
	}
	failed, any := 0, false
	for kind := p.dec.PeekKind(); kind != ']' && kind != 0; kind = p.dec.PeekKind() {
		if kind != '{' {
			if err := p.skip(); err != nil {
				return err
			}
			continue
		}
		err := p.members(assertionMembers, func(string, bool) error { return p.assertions(&failed, &any) })
		if err != nil {
			return err
		}
	}
	if any {
		*dst = strconv.Itoa(failed)
	}
	_, err := p.dec.ReadToken()
	return errNotJSON(err)
}

// assertions counts what failed in an object of them, and notes that there is one.
func (p *parser) assertions(failed *int, any *bool) error {
	if p.dec.PeekKind() != '{' {
		return p.skip()
	}
	if _, err := p.dec.ReadToken(); err != nil {
		return errNotJSON(err)
	}
	*any = true
	for p.dec.PeekKind() == '"' {
		if err := p.skip(); err != nil { // the name
			return err
		}
		if p.dec.PeekKind() != '"' {
			if err := p.skip(); err != nil {
				return err
			}
			continue
		}
		result, err := p.dec.ReadToken()
		if err != nil {
			return errNotJSON(err)
		}
		if result.String() == "fail" {
			*failed++
		}
	}
	_, err := p.dec.ReadToken()
	return errNotJSON(err)
}
