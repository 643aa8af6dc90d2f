package main

import (
	"fmt"
	"strings"
)

// judgment lists events by what is wrong with them.
type judgment struct{ lost, duplicated, reordered []int }

func (j judgment) bad() bool { return len(j.lost)+len(j.duplicated)+len(j.reordered) > 0 }

// judge holds the answers against the records, from one operation on.
func (l *ledger) judge(from int) (j judgment) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, o := range l.operations[from:] {
		l.judgeOperation(o, &j)
	}
	return j
}

// judgeOperation looks at each event of an operation. One that lies ahead of an
// earlier one is out of order; of several records the first counts.
func (l *ledger) judgeOperation(o operation, j *judgment) {
	var before *event
	for number := int(o.first); number < int(o.first)+int(o.length); number++ {
		e := &l.events[number]
		switch {
		case e.copies == 0:
			if e.acknowledged() {
				j.lost = append(j.lost, number)
			}
			continue
		case e.copies > 1:
			j.duplicated = append(j.duplicated, number)
		}
		if before != nil && (e.partition != before.partition || e.offset < before.offset) {
			j.reordered = append(j.reordered, number)
			continue
		}
		before = e
	}
}

// evidence is what is known of an event and its neighbours.
func (l *ledger) evidence(number int) string {
	o := l.operations[l.events[number].operation]
	first, last := max(int(o.first), number-1), min(int(o.first)+int(o.length)-1, number+1)
	lines, err := l.lookUp(first, number, last)
	if err != nil {
		return err.Error()
	}
	var b strings.Builder
	for n := first; n <= last; n++ {
		fmt.Fprintf(&b, "  %s %s #%d\n", eventID(n), operationToken(int(l.events[n].operation)), n-int(o.first))
		for _, line := range lines[n] {
			fmt.Fprintf(&b, "      %s\n", line)
		}
	}
	return b.String()
}
