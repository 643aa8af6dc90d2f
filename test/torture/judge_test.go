package main

import (
	"net/http"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
)

// A check that finds nothing proves nothing unless it can find something.

// sent is a ledger with one operation of acknowledged events.
func sent(t *testing.T, events int) (*ledger, []parcel) {
	l, err := newLedger(filepath.Join(t.TempDir(), "journal"))
	require.NoError(t, err)
	index, parcels := l.open(0, events), []parcel{}
	for sequence := range events {
		p := l.write(index, sequence)
		l.answered(p.number, answer{code: http.StatusOK, word: "accepted"})
		parcels = append(parcels, p)
	}
	return l, parcels
}

func record(p parcel, offset int64) *kgo.Record {
	return &kgo.Record{
		Topic: topicNames[0], Offset: offset, Key: []byte(operationToken(0)), Value: p.body,
		Headers: []kgo.RecordHeader{{Key: "ce_id", Value: []byte(eventID(p.number))}},
	}
}

func TestJudge(t *testing.T) {
	for name, test := range map[string]struct {
		offsets [][]int64 // of each event's records
		want    judgment
	}{
		"as promised":      {[][]int64{{0}, {1}, {2}}, judgment{}},
		"lost":             {[][]int64{{0}, {}, {1}}, judgment{lost: []int{1}}},
		"duplicated":       {[][]int64{{0}, {1, 3}, {2}}, judgment{duplicated: []int{1}}},
		"reordered":        {[][]int64{{0}, {2}, {1}}, judgment{reordered: []int{2}}},
		"the first counts": {[][]int64{{0, 2}, {1}, {3}}, judgment{duplicated: []int{0}}},
	} {
		t.Run(name, func(t *testing.T) {
			l, parcels := sent(t, len(test.offsets))
			topics := newTopics(l, nil)
			for i, offsets := range test.offsets {
				for _, offset := range offsets {
					topics.enter(record(parcels[i], offset))
				}
			}
			require.Equal(t, test.want, l.judge(0))
			require.Empty(t, topics.foreign)
		})
	}
}

func TestJudgeKnowsWhatWasAcknowledged(t *testing.T) {
	l, err := newLedger(filepath.Join(t.TempDir(), "journal"))
	require.NoError(t, err)
	p := l.write(l.open(0, 2), 0)
	l.answered(p.number, answer{word: "connection refused"})
	l.answered(p.number, answer{code: http.StatusServiceUnavailable})
	l.answered(p.number, answer{code: http.StatusAccepted, word: "quarantined"})
	require.Empty(t, l.judge(0).lost)
	l.answered(p.number, answer{code: http.StatusAccepted, word: "spooled"})
	require.Equal(t, []int{p.number}, l.judge(0).lost)
}

func TestForeignRecords(t *testing.T) {
	for name, change := range map[string]func(*kgo.Record){
		"never sent":     func(r *kgo.Record) { r.Headers[0].Value = []byte("e0000001") },
		"unknown":        func(r *kgo.Record) { r.Headers[0].Value = []byte("e0000002") },
		"no id":          func(r *kgo.Record) { r.Headers = nil },
		"another body":   func(r *kgo.Record) { r.Value = append(r.Value[:len(r.Value)-1:len(r.Value)-1], ' ') },
		"another key":    func(r *kgo.Record) { r.Key = []byte("op-1") },
		"another topic":  func(r *kgo.Record) { r.Topic = topicNames[1] },
		"in quarantine":  func(r *kgo.Record) { r.Topic = topicNames[len(topicNames)-1] },
		"not quite same": func(r *kgo.Record) { r.Headers[0].Value = []byte("e0") },
	} {
		t.Run(name, func(t *testing.T) {
			l, err := newLedger(filepath.Join(t.TempDir(), "journal"))
			require.NoError(t, err)
			r := record(l.write(l.open(0, 2), 0), 0)
			topics := newTopics(l, nil)
			topics.enter(r)
			require.Empty(t, topics.foreign)
			change(r)
			topics.enter(r)
			require.Len(t, topics.foreign, 1)
		})
	}
}

func TestEvidence(t *testing.T) {
	l, parcels := sent(t, 3)
	newTopics(l, nil).enter(record(parcels[1], 7))
	require.Regexp(t, `(?s)e0000000 .*200 accepted.*e0000001 .*200 accepted.*awareid.enrollment/0@7.*e0000002 .*200 accepted`, l.evidence(1))
}
