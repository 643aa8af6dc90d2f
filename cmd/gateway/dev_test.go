package main

import (
	"fmt"
	"net"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/event"
	"awareid-gateway/internal/simulator"
)

// devArgs are a short run on free ports.
func devArgs(more ...string) []string {
	return append([]string{"dev", "--rate=0", "--http=127.0.0.1:0", "--admin=127.0.0.1:0", "--kafka-port=0"}, more...)
}

// devSums are the numbers of the last line.
type devSums struct{ events, sent, accepted, duplicate, rejected, other, inKafka int }

var sumsPattern = regexp.MustCompile(`events (\d+) \| sent (\d+) = accepted (\d+) \+ duplicate (\d+) \+ rejected (\d+) \+ other (\d+) \| in Kafka (\d+): the sums agree\n$`)

func parseSums(t *testing.T, out string) devSums {
	t.Helper()
	m := sumsPattern.FindStringSubmatch(out)
	require.NotNil(t, m, out)
	var n [7]int
	for i := range n {
		var err error
		n[i], err = strconv.Atoi(m[i+1])
		require.NoError(t, err)
	}
	s := devSums{n[0], n[1], n[2], n[3], n[4], n[5], n[6]}
	require.Equal(t, s.sent, s.accepted+s.duplicate+s.rejected+s.other)
	require.Equal(t, s.events, s.accepted)
	require.Equal(t, s.events, s.inKafka)
	require.Zero(t, s.other)
	return s
}

func TestDev(t *testing.T) {
	t.Parallel()
	for name, flags := range map[string][]string{
		"as it comes":         {},
		"cbc":                 {"--cipher=cbc", "--seed=2"},
		"gcm16, sha512":       {"--cipher=gcm16", "--hash=sha512", "--encoding=base64", "--seed=3"},
		"bare":                {"--cipher=bare-gcm", "--form=raw", "--prefix=v1,", "--seed=4"},
		"bare cbc":            {"--cipher=bare-cbc", "--header=Signature", "--seed=5"},
		"not encrypted":       {"--cipher=none", "--seed=6"},
		"plaintext is signed": {"--covers=plaintext", "--seed=7"},
		"unsigned":            {"--unsigned", "--seed=8"},
		"unsigned, bare":      {"--unsigned", "--cipher=bare-gcm", "--seed=9"},
		"reordered and lost":  {"--reorder=0.5", "--loss=0.3", "--repeat=1", "--tamper=1", "--seed=10"},
		"large events":        {"--size=200000", "--seed=11"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := runToEnd(t, nil, devArgs(append(flags, "--count=60")...)...)
			require.Equal(t, exitOK, r.code, r.err)
			sums := parseSums(t, r.out)
			require.Positive(t, sums.duplicate)
			require.Positive(t, sums.rejected)
			require.Equal(t, sums.inKafka, strings.Count(r.out, "\nKAFKA "))
			require.Equal(t, sums.sent, strings.Count(r.out, "\nPOST "))
		})
	}
}

func TestDevIsQuiet(t *testing.T) {
	t.Parallel()
	r := runToEnd(t, nil, devArgs("--count=5", "--quiet")...)
	require.Equal(t, exitOK, r.code, r.err)
	require.Equal(t, 5, parseSums(t, r.out).events)
	require.NotContains(t, r.out, "\nPOST ")
	require.NotContains(t, r.out, "\nKAFKA ")
}

func TestDevRefuses(t *testing.T) {
	t.Parallel()
	for _, flags := range [][]string{
		{"--unsigned", "--cipher=cbc"}, {"--unsigned", "--cipher=none"}, {"--covers=plaintext", "--cipher=bare-cbc"},
		{"--cipher=rot13"}, {"--rate=-1"}, {"--repeat=2"}, {"--count=x"}, {"--http=nowhere"}, {"--log-level=loud"},
	} {
		t.Run(strings.Join(flags, " "), func(t *testing.T) {
			t.Parallel()
			r := runToEnd(t, nil, devArgs(append(flags, "--count=1")...)...)
			require.Equal(t, exitUsage, r.code, r.out)
			require.Contains(t, r.err, "gateway: ")
		})
	}
}

// TestDevOnTakenPorts moves aside.
func TestDevOnTakenPorts(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	_, port, err := net.SplitHostPort(taken.Addr().String())
	require.NoError(t, err)
	r := runToEnd(t, nil, "dev", "--rate=0", "--count=5", "--http="+taken.Addr().String(), "--admin="+taken.Addr().String(), "--kafka-port="+port)
	require.Equal(t, exitOK, r.code, r.err)
	parseSums(t, r.out)
	require.NotContains(t, r.out, "127.0.0.1:"+port)
}

// TestDevUntilInterrupted sends without end, takes what a person posts by the
// printed command, and still comes to its sums at Ctrl-C.
func TestDevUntilInterrupted(t *testing.T) {
	t.Parallel()
	for name, flags := range map[string][]string{
		"signed": {"--rate=200"}, "unsigned": {"--rate=200", "--unsigned"}, "plaintext": {"--rate=200", "--covers=plaintext"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := start(t, nil, devArgs(flags...)...)
			command := strings.Fields(p.await(t, p.out, 1, `Post an event:  (.+)\n`)[1])
			var vars []string
			for command[0] != os.Args[0] {
				vars, command = append(vars, command[0]), command[1:]
			}
			r := runToEnd(t, vars, command[1:]...)
			require.Equal(t, exitOK, r.code, r.out+r.err)
			require.Contains(t, r.out, `"accepted"`)
			p.await(t, p.out, 20, `\nPOST `)
			require.Equal(t, exitOK, p.end(t), p.lastWords())
			require.GreaterOrEqual(t, parseSums(t, p.out.String()).sent, 20)
		})
	}
}

// TestJudge drops, doubles and swaps records, and changes each sum.
func TestJudge(t *testing.T) {
	t.Parallel()
	good := simulator.Tally{Events: 4, Lost: 1, Sent: 6, Accepted: 3, Duplicate: 2, Rejected: 1, Forged: 1, Taken: 3}
	all := func() map[string]int { return map[string]int{"a": 1, "b": 1, "c": 1} }
	for _, test := range []struct {
		name   string
		change func(tally *simulator.Tally, seen map[string]int)
		want   string
	}{
		{"all is well", func(*simulator.Tally, map[string]int) {}, ""},
		{"a record is missing", func(_ *simulator.Tally, seen map[string]int) { delete(seen, "b") }, "in Kafka: 2 records of 2 events, want 3"},
		{"a record is there twice", func(_ *simulator.Tally, seen map[string]int) { seen["b"] = 2 }, "in Kafka: 4 records of 3 events, want 3"},
		{"one twice, one missing", func(_ *simulator.Tally, seen map[string]int) { delete(seen, "b"); seen["a"] = 2 }, "in Kafka: 3 records of 2 events, want 3"},
		{"a stranger", func(_ *simulator.Tally, seen map[string]int) { seen["d"] = 1 }, "in Kafka: 4 records of 4 events, want 3"},
		{"a forged one was taken", func(tally *simulator.Tally, _ map[string]int) { tally.ForgedTaken, tally.Rejected = 1, 0 }, "forged posts taken: 1, want 0"},
		{"one was accepted twice", func(tally *simulator.Tally, _ map[string]int) { tally.Twice = 1 }, "events accepted twice: 1, want 0"},
		{"one failed", func(tally *simulator.Tally, _ map[string]int) { tally.Failed, tally.Taken = 1, 2 }, "failed posts: 1, want 0"},
		{"a genuine one was rejected", func(tally *simulator.Tally, _ map[string]int) { tally.Rejected = 2 }, "rejected posts: 2, want 1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			tally, seen := good, all()
			test.change(&tally, seen)
			var out strings.Builder
			d := &devRun{cmd: &devCmd{}, out: &out, seen: seen}
			err := d.judge(tally)
			if test.want == "" {
				require.NoError(t, err)
				require.True(t, strings.HasSuffix(out.String(), ": the sums agree\n"), out.String())
				return
			}
			require.ErrorContains(t, err, test.want)
			require.Equal(t, exitFailed, exitCode(err, &out))
			require.Contains(t, out.String(), "THE SUMS DO NOT AGREE")
		})
	}
}

// TestRecordCounts knows its own webhook's events from the others'.
func TestRecordCounts(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	d := &devRun{cmd: &devCmd{}, out: &out, seen: map[string]int{}, change: make(chan struct{}), simulated: newDevWebhook(), yours: newDevWebhook()}
	record := func(hook simulator.Webhook, id string) {
		d.record(simulator.Record{Topic: "awareid.enrollment", Key: "op", Value: []byte(strings.Repeat("x", 300)), Headers: []simulator.Header{
			{Key: "ce_id", Value: id}, {Key: "ce_source", Value: event.Source(hook.ID)},
		}})
	}
	record(d.simulated, "a")
	record(d.simulated, "a")
	record(d.simulated, "b")
	record(d.yours, "c")
	require.Equal(t, map[string]int{"a": 2, "b": 1}, d.seen)
	require.Equal(t, 4, d.read)
	require.Contains(t, out.String(), fmt.Sprintf("KAFKA awareid.enrollment/0@0 key=op ce_type= ce_id=c %s…\n", strings.Repeat("x", valueWidth)))
}
