package main

import (
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"text/tabwriter"
	"time"
)

// row is one of the table.
type row struct {
	name  string
	value any
}

// report prints the table, and is false where a promise was broken.
func (t *torture) report() bool {
	j := t.ledger.judge(0)
	fmt.Println()
	t.print(t.table(j))
	t.trouble = append(t.trouble, t.plan.errs...)
	for _, err := range t.trouble {
		fmt.Println("TROUBLE:", err)
	}
	return !j.bad() && len(t.topics.foreign) == 0 && len(t.trouble) == 0
}

func (t *torture) table(j judgment) []row {
	sum := t.ledger.sum()
	rows := []row{
		{"Kafka", map[string]string{realBrokers: "Apache Kafka, 3 brokers", fake: "kfake, 3 brokers"}[t.broker]},
		{"Redis", t.cluster.redis},
		{"seed", t.seed},
	}
	if t.recovery {
		rows = append(rows, t.results...)
	} else {
		rows = append(rows, t.plan.table(t.rounds)...)
	}
	rows = append(rows,
		row{"events sent", sum.sent},
		row{"acknowledged with 200", sum.codes[http.StatusOK]},
		row{"acknowledged with 202", sum.codes[http.StatusAccepted]},
		row{"never acknowledged", sum.sent - sum.codes[http.StatusOK] - sum.codes[http.StatusAccepted]},
	)
	for _, kind := range slices.Sorted(maps.Keys(sum.tally)) {
		rows = append(rows, row{"answers: " + kind, sum.tally[kind]})
	}
	return append(rows,
		row{"records in Kafka", t.topics.count},
		row{"left in spools", t.left()},
		row{"lost", len(j.lost)},
		row{"duplicated", len(j.duplicated)},
		row{"reordered", len(j.reordered)},
		row{"foreign", len(t.topics.foreign)},
		row{"longest time without a 2xx", sum.longest.Round(time.Millisecond)},
		row{"took", time.Since(t.began).Round(time.Second)},
	)
}

// left is how many events still wait, as far as the gateways say.
func (t *torture) left() any {
	n, err := t.cluster.spooled()
	if err != nil {
		return "unknown"
	}
	return n
}

func (t *torture) print(rows []row) {
	if t.markdown {
		fmt.Println("| | |\n|---|--:|")
		for _, r := range rows {
			fmt.Printf("| %s | %v |\n", r.name, r.value)
		}
		return
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	for _, r := range rows {
		fmt.Fprintf(w, "%s\t%v\n", r.name, r.value)
	}
	w.Flush()
}

// sum is the ledger in few words.
type sum struct {
	sent    int
	codes   map[int]int    // events by the first 2xx
	tally   map[string]int // answers by kind
	longest time.Duration
}

func (l *ledger) sum() sum {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := sum{codes: map[int]int{}, tally: maps.Clone(l.tally), longest: l.longest}
	for _, e := range l.events {
		if e.sent() {
			s.sent++
			s.codes[int(e.code)]++
		}
	}
	return s
}

// table says what befell the cluster in some rounds.
func (p *plan) table(rounds int) []row {
	p.mu.Lock()
	defer p.mu.Unlock()
	rows, total := []row{{"rounds", rounds}, {"faults", 0}}, 0
	for _, name := range slices.Sorted(maps.Keys(p.count)) {
		rows = append(rows, row{"– " + name, p.count[name]})
		total += p.count[name]
	}
	rows[1].value = total
	return rows
}
