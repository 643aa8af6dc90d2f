package main

import (
	"context"
	"encoding/json"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// createTopics makes all topics of the stack, with settings for one of them.
func (s *stack) createTopics(t *testing.T, odd string, settings map[string]*string) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(s.brokers, ",")...))
	require.NoError(t, err)
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for _, topic := range s.topics() {
		configs := map[string]*string{}
		if topic == odd {
			configs = settings
		}
		_, err := kadm.NewClient(client).CreateTopic(ctx, 1, -1, configs, topic)
		require.NoError(t, err)
	}
}

const (
	configurationIsFine = `(?m)^ok    configuration  complete, 1 webhook\(s\)$`
	redisIsFine         = `(?m)^ok    store          Redis [0-9.]* ?answers$`
	topicsAreThere      = `(?m)^ok    kafka          answers; all 5 topics are there$`
)

func TestCheck(t *testing.T) {
	t.Parallel()
	small, compact := "1000", "compact"
	for _, test := range []struct {
		name    string
		prepare func(t *testing.T, s *stack)
		environ []string
		code    int
		want    []string
	}{
		{
			"everything is fine", func(t *testing.T, s *stack) { s.createTopics(t, "", nil) }, nil, exitOK,
			[]string{configurationIsFine, redisIsFine, topicsAreThere, `(?m)^ok    rights         this user may do`, `(?m)^ok    topics         their settings are as`},
		},
		{
			"topics are missing", nil, []string{"KAFKA_CREATE_TOPICS=false"}, exitFailed,
			[]string{configurationIsFine, redisIsFine, `(?m)^FAIL  kafka          topics are missing: \S+\.authentication, \S+\.enrollment, \S+\.other, \S+\.quarantine, \S+\.reenrollment; create them or set KAFKA_CREATE_TOPICS=true$`},
		},
		{
			"topics are to come", nil, nil, exitOK,
			[]string{configurationIsFine, redisIsFine, `(?m)^warn  kafka          answers; topics that the start will create: \S+\.authentication, `},
		},
		{
			"Redis is down", func(t *testing.T, s *stack) { s.createTopics(t, "", nil) }, []string{"REDIS_URL=redis://:a-password@" + nobody}, exitFailed,
			[]string{configurationIsFine, `(?m)^FAIL  store          ping Redis: .*connection refused$`, topicsAreThere},
		},
		{
			"Kafka is down", nil, []string{"KAFKA_BROKERS=" + nobody}, exitFailed,
			[]string{configurationIsFine, redisIsFine, `(?m)^FAIL  kafka          .*Kafka.*connection refused$`},
		},
		{
			"a topic is too small", func(t *testing.T, s *stack) {
				s.createTopics(t, s.quarantine(), map[string]*string{"max.message.bytes": &small})
			}, nil, exitFailed,
			[]string{topicsAreThere, `(?m)^FAIL  topics         topic \S+\.quarantine: max\.message\.bytes is 1000, wants at least 991232$`},
		},
		{
			"a topic is compacted", func(t *testing.T, s *stack) {
				s.createTopics(t, s.topic("enrollment"), map[string]*string{"cleanup.policy": &compact})
			}, nil, exitFailed,
			[]string{topicsAreThere, `(?m)^FAIL  topics         topic \S+\.enrollment: cleanup\.policy is compact, wants delete$`},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := newStack(t)
			if test.prepare != nil {
				test.prepare(t, s)
			}
			environ := s.environ(test.environ...)
			r := runToEnd(t, environ, "check")
			require.Equal(t, test.code, r.code, r.out+r.err)
			for _, want := range test.want {
				require.Regexp(t, want, r.out)
			}
			require.Equal(t, test.code == exitFailed, strings.Contains(r.err, "gateway: not everything is as it should be"))
			require.Equal(t, test.code == exitFailed, strings.Contains(r.out, "FAIL"))
			require.NotContains(t, r.out+r.err, "a-password")

			asJSON := runToEnd(t, environ, "check", "--json")
			require.Equal(t, test.code, asJSON.code)
			require.Equal(t, withoutTimes(lines(r.out)), withoutTimes(fromJSON(t, asJSON.out)))
		})
	}
}

// withoutTimes leaves out what a busy disk says one time and not the next.
func withoutTimes(findings []string) []string {
	return slices.DeleteFunc(findings, func(f string) bool { return strings.Contains(f, "a sync to ") })
}

// fromJSON turns the lines of --json into what is printed without it.
func fromJSON(t *testing.T, out string) []string {
	t.Helper()
	var text strings.Builder
	r := &report{out: &text}
	for _, line := range lines(out) {
		var finding struct{ Level, Subject, Text string }
		require.NoError(t, json.Unmarshal([]byte(line), &finding))
		if finding.Level == "fail" {
			finding.Level = "FAIL"
		}
		r.line(finding.Level, finding.Subject, finding.Text)
	}
	return lines(text.String())
}

// TestStartReviewsTopics refuses what check would call a failure.
func TestStartReviewsTopics(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	compact := "compact"
	s.createTopics(t, s.topic("other"), map[string]*string{"cleanup.policy": &compact})
	r := runToEnd(t, s.environ(), "serve")
	require.Equal(t, exitFailed, r.code)
	require.Contains(t, r.err, "gateway: start: topic "+s.topic("other")+": cleanup.policy is compact, wants delete")
}

// TestCheckFile makes no file, and says when a gateway has it.
func TestCheckFile(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.createTopics(t, "", nil)
	path := filepath.Join(t.TempDir(), "gateway.db")
	s.redisURL = ""

	r := runToEnd(t, s.environ("STORE_FILE="+path), "check")
	require.Equal(t, exitOK, r.code, r.out)
	require.Contains(t, r.out, "ok    store          embedded file "+path+", which the start will make\n")
	require.NoFileExists(t, path)

	g := s.serve(t, "STORE_FILE="+path)
	r = runToEnd(t, s.environ("STORE_FILE="+path), "check")
	require.Equal(t, exitOK, r.code, r.out)
	require.Regexp(t, `(?m)^warn  store          .*in use by another process`, r.out)

	require.Equal(t, exitOK, g.end(t))
	r = runToEnd(t, s.environ("STORE_FILE="+path), "check")
	require.Equal(t, exitOK, r.code, r.out)
	require.Contains(t, r.out, "ok    store          embedded file "+path+"\n")

	r = runToEnd(t, s.environ("STORE_FILE="+filepath.Join(path, "below", "a file")), "check")
	require.Equal(t, exitFailed, r.code, r.out)
	require.Regexp(t, `(?m)^FAIL  store`, r.out)
}

// TestCheckSpool makes no folder, and says when a gateway has it.
func TestCheckSpool(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.createTopics(t, "", nil)
	environ := s.environ("SPOOL_DIR=" + filepath.Join(t.TempDir(), "spool"))
	r := runToEnd(t, environ, "check")
	require.Equal(t, exitOK, r.code, r.out)
	require.Regexp(t, `(?m)^ok    spool          folder \S+, which the start will make$`, r.out)

	g := s.ready(t, start(t, environ, "serve"))
	require.Regexp(t, `(?m)^warn  spool          .*in use by another process`, runToEnd(t, environ, "check").out)
	require.Equal(t, exitOK, g.end(t))
	require.Regexp(t, `(?m)^ok    spool          folder \S+, nothing waits in it$`, runToEnd(t, environ, "check").out)
}

func TestCheckRefusesConfiguration(t *testing.T) {
	t.Parallel()
	r := runToEnd(t, []string{"KAFKA_BROKERS=here", "REDIS_URL=http://there"}, "check")
	require.Equal(t, exitUsage, r.code)
	require.Empty(t, r.out)
	for _, name := range []string{"AWAREID_WEBHOOK_ID", "AWAREID_WEBHOOK_SECRETS", "KAFKA_BROKERS", "REDIS_URL"} {
		require.Contains(t, r.err, "  "+name+": ")
	}
}
