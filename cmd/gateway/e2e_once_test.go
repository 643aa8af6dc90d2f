package main

import (
	"fmt"
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/event"
	"awareid-gateway/internal/simulator"
)

// TestTwoReplicas posts one event 64 times at once to two gateways, again and
// again, and wants one record of each.
func TestTwoReplicas(t *testing.T) {
	t.Parallel()
	const posts, rounds = 64, 5
	s := newStack(t)
	replicas := []*gateway{s.serve(t, "REPLICA_ID=a"), s.serve(t, "REPLICA_ID=b")}
	var sent []string
	for range rounds {
		e := newSample("enrollment.completed")
		sent = append(sent, e.id)
		body, header := seal(t, simulator.Scheme{Secret: s.hook.Secret}, e.body)
		answers := make(chan answer, posts)
		var all sync.WaitGroup
		for i := range posts {
			all.Go(func() {
				a, err := replicas[i%2].tryPost("", body, header)
				if err != nil {
					a.body = err.Error()
				}
				answers <- a
			})
		}
		all.Wait()
		close(answers)
		sums := map[string]int{}
		for a := range answers {
			require.Equal(t, http.StatusOK, a.code, a.body)
			sums[a.Status]++
		}
		require.Equal(t, map[string]int{"accepted": 1, "duplicate": posts - 1}, sums)
	}
	require.ElementsMatch(t, sent, ids(s.records(t)))
}

// TestReplicasStartTogether has three gateways find no topics at the same
// moment. Each takes events as soon as it says that it is ready.
func TestReplicasStartTogether(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	var programs []*program
	for range 3 {
		programs = append(programs, start(t, s.environ(), "serve"))
	}
	var sent []string
	for _, p := range programs {
		g := s.ready(t, p)
		for range 10 { // so that each partition is met
			e := newSample("enrollment.started")
			requireAnswer(t, http.StatusOK, "accepted", e.id, g.send(t, e))
			sent = append(sent, e.id)
		}
	}
	require.ElementsMatch(t, sent, ids(s.records(t)))
}

// TestOrder sends the events of several operations at once, each operation's
// one after the other's answer and through two replicas by turns.
func TestOrder(t *testing.T) {
	t.Parallel()
	const operations, events = 8, 20
	s := newStack(t)
	replicas := []*gateway{s.serve(t, "REPLICA_ID=a"), s.serve(t, "REPLICA_ID=b")}
	want := map[string][]string{}
	var all sync.WaitGroup
	for range operations {
		token := uuid.NewString()
		samples := make([]sample, events)
		for i := range samples {
			samples[i] = sampleOf("enrollment.face.check", token)
			want[token] = append(want[token], samples[i].id)
		}
		all.Go(func() {
			for i, e := range samples {
				body, header, _ := simulator.Scheme{Secret: s.hook.Secret}.Seal(e.body)
				if a, err := replicas[i%2].tryPost("", body, header); err != nil || a.Status != "accepted" {
					t.Errorf("answered %d %s: %v", a.code, a.body, err)
				}
			}
		})
	}
	all.Wait()

	got, partitions := map[string][]string{}, map[string]map[int32]bool{}
	for _, r := range s.records(t, s.topic(event.Enrollment)) {
		got[r.Key] = append(got[r.Key], r.Header("ce_id"))
		if partitions[r.Key] == nil {
			partitions[r.Key] = map[int32]bool{}
		}
		partitions[r.Key][r.Partition] = true
	}
	require.Equal(t, want, got)
	for _, used := range partitions {
		require.Len(t, slices.Collect(maps.Keys(used)), 1)
	}
}

// TestRestart has a gateway that knows what the one before it accepted, with
// each kind of store.
func TestRestart(t *testing.T) {
	t.Parallel()
	for name, store := range map[string]func(s *stack) string{
		"redis": func(s *stack) string { return "REDIS_URL=" + s.redisURL },
		"file":  func(*stack) string { return "STORE_FILE=" + filepath.Join(t.TempDir(), "gateway.db") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStack(t)
			variable := store(s)
			environ := append(slices.DeleteFunc(s.environ(), func(v string) bool { return v == "REDIS_URL="+s.redisURL }), variable)
			e, body, header := newSample("enrollment.completed"), []byte(nil), http.Header(nil)
			body, header = seal(t, simulator.Scheme{Secret: s.hook.Secret}, e.body)

			before := s.ready(t, start(t, environ, "serve"))
			requireAnswer(t, http.StatusOK, "accepted", e.id, before.post(t, "", body, header))
			require.Equal(t, exitOK, before.end(t))
			require.Contains(t, before.err.String(), `"msg":"stopped"`)

			after := s.ready(t, start(t, environ, "serve"))
			requireAnswer(t, http.StatusOK, "duplicate", e.id, after.post(t, "", body, header))
			requireRecord(t, e, s.hook.ID, s.topic(event.Enrollment), byID(t, s.records(t), e))
		})
	}
}

// TestManyEvents lets the stand-in platform send through two gateways, with
// repeats and forgeries, and compares what each holds for true.
func TestManyEvents(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	g := s.serve(t)
	vars := []string{"AWAREID_WEBHOOK_ID=" + s.hook.ID, "AWAREID_WEBHOOK_SECRETS=" + s.hook.Secret}
	for seed := range 2 {
		r := runToEnd(t, vars, "simulate", "--addr=127.0.0.1:0", "--target="+g.url+"/webhooks/awareid",
			"--count=150", "--rate=0", fmt.Sprintf("--seed=%d", seed), "--repeat=0.4", "--reorder=0.2", "--loss=0.1")
		require.Equal(t, exitOK, r.code, r.out+r.err)
	}
	records := s.records(t)
	require.Greater(t, len(records), 200)
	require.Len(t, slices.Compact(ids(records)), len(records))
}
