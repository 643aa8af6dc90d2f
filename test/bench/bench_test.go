package main

import (
	"crypto/sha256"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

func TestCells(t *testing.T) {
	require.Equal(t, []cell{usual}, options{quick: true}.settings())
	require.Len(t, options{full: true}.settings(), 27)
	one := options{}.settings()
	require.Len(t, one, 7)
	require.Contains(t, one, usual)
	some := options{cells: regexp.MustCompile("^64 connections.* 16 KiB, cbc")}.settings()
	require.Equal(t, []cell{{64, 16 << 10, "cbc"}}, some)
}

func TestMajorMinor(t *testing.T) {
	for release, want := range map[string]string{"6.18.44-of-somebody+\n": "6.18", "6.1-rc3": "6.1", "10.0\n": "10.0", "other": ""} {
		require.Equal(t, want, majorMinor(release), release)
	}
}

func TestQuantilesAreAmongTheTimes(t *testing.T) {
	var took []time.Duration
	for n := range 1000 {
		took = append(took, time.Duration(1000-n))
	}
	for share, want := range map[float64]time.Duration{0: 1, 0.5: 500, 0.99: 990, 0.999: 999, 1: 1000} {
		require.Equal(t, want, quantile(took, share), share)
	}
	require.Zero(t, quantile(nil, 0.5))
	require.EqualValues(t, 7, quantile([]time.Duration{7}, 0.99))
}

func TestMedians(t *testing.T) {
	m := medians([]figures{{rate: 3, p50: 10}, {rate: 1, p50: 30}, {rate: 2, p50: 20}})
	require.Equal(t, figures{rate: 2, p50: 20}, m)
}

// TestAWrongAnswerEndsTheRun has the fifth request answered with status, and
// all others as they should be.
func TestAWrongAnswerEndsTheRun(t *testing.T) {
	for status, body := range map[int]string{
		http.StatusAccepted:             `{"status":"spooled","id":"%s"}`,
		http.StatusOK:                   `{"status":"duplicate","id":"%s"}`,
		http.StatusServiceUnavailable:   `{"status":"accepted","id":"%s"}`,
		http.StatusNonAuthoritativeInfo: `{"status":"accepted","id":"%s"}`,
	} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			seen := 0
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				id, _ := io.ReadAll(r.Body)
				if seen++; seen == 5 {
					w.WriteHeader(status)
					fmt.Fprintf(w, body, id)
					return
				}
				fmt.Fprintf(w, `{"status":"accepted","id":"%s"}`, id)
			}))
			defer s.Close()
			work := load{addr: s.Listener.Addr().String(), callbacks: numbered(8), connections: 1, length: time.Minute, judge: wantsAccepted}
			_, err := work.apply(t.Context())
			require.ErrorContains(t, err, "event-4 was answered")
		})
	}
}

func TestALoadSendsEachCallbackOnce(t *testing.T) {
	ids := make(chan string, 100)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, _ := io.ReadAll(r.Body)
		ids <- string(id)
	}))
	defer s.Close()
	work := load{addr: s.Listener.Addr().String(), callbacks: numbered(50), connections: 7, length: time.Minute, judge: wantsOK}
	o, err := work.apply(t.Context())
	require.NoError(t, err)
	require.Equal(t, 50, o.sent)
	seen := map[string]bool{}
	for range 50 {
		seen[<-ids] = true
	}
	require.Len(t, seen, 50)
}

// TestWaitingCountsWithFixedTimes has a server that takes its time for each
// request: with one connection, the last one was due long before it was sent.
func TestWaitingCountsWithFixedTimes(t *testing.T) {
	const slow = 20 * time.Millisecond
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		<-time.After(slow)
	}))
	defer s.Close()
	work := load{addr: s.Listener.Addr().String(), callbacks: numbered(10), connections: 1, length: time.Minute, rate: 1000, judge: wantsOK}
	o, err := work.apply(t.Context())
	require.NoError(t, err)
	require.GreaterOrEqual(t, quantile(o.took, 1), 9*slow)
}

func numbered(n int) (all []callback) {
	for i := range n {
		id := fmt.Sprint("event-", i)
		all = append(all, callback{raw: render("/", nil, []byte(id)), id: id, value: sha256.Sum256([]byte(id))})
	}
	return all
}

// TestRecordsMustAddUp writes what is sent to a Kafka, not always well.
func TestRecordsMustAddUp(t *testing.T) {
	for name, tc := range map[string]struct {
		write []string // ids, of three that were sent
		spoil bool     // the value of the first
		wrong string   // "": nothing
	}{
		"all":                  {write: []string{"event-0", "event-1", "event-2"}},
		"one is missing":       {write: []string{"event-0", "event-1"}, wrong: "3 events were accepted, and Kafka has 2 records more"},
		"one is there twice":   {write: []string{"event-0", "event-1", "event-2", "event-2"}, wrong: "Kafka has 4 records more"},
		"one in another place": {write: []string{"event-0", "event-1", "event-1"}, wrong: "was not sent, or is there twice"},
		"one nobody sent":      {write: []string{"event-0", "event-1", "event-7"}, wrong: "was not sent, or is there twice"},
		"one is changed":       {write: []string{"event-0", "event-1", "event-2"}, spoil: true, wrong: "is not what was sent"},
	} {
		t.Run(name, func(t *testing.T) {
			cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
			require.NoError(t, err)
			defer cluster.Close()
			topics, err := newTopics(cluster.ListenAddrs())
			require.NoError(t, err)
			defer topics.client.Close()
			topic := topics.prefix + ".enrollment"
			_, err = topics.admin.CreateTopic(t.Context(), 3, 1, nil, topic)
			require.NoError(t, err)
			write(t, topics, topic, false, "event-0") // of an earlier run
			before, err := topics.ends(t.Context())
			require.NoError(t, err)

			write(t, topics, topic, tc.spoil, tc.write...)
			err = topics.holdsOnce(t.Context(), before, numbered(3))
			if tc.wrong == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, tc.wrong)
			}
		})
	}
}

func write(t *testing.T, topics *topics, topic string, spoil bool, ids ...string) {
	for i, id := range ids {
		value := id
		if spoil && i == 0 {
			value += "!"
		}
		record := &kgo.Record{
			Topic: topic, Key: []byte(id), Value: []byte(value),
			Headers: []kgo.RecordHeader{{Key: "ce_id", Value: []byte(id)}},
		}
		require.NoError(t, topics.client.ProduceSync(t.Context(), record).FirstErr())
	}
}

// TestTheServersOfTheBench are asked for what they are to be measured by.
func TestTheServersOfTheBench(t *testing.T) {
	l := &lab{secret: newSecret(), options: options{length: time.Second}}
	callbacks, err := l.signer(setting{}, "gcm").sign(20, 1<<10)
	require.NoError(t, err)
	verified, err := newVerified(l.secret)
	require.NoError(t, err)
	stranger, err := newVerified(newSecret())
	require.NoError(t, err)
	for name, tc := range map[string]struct {
		app interface {
			Listener(net.Listener) error
			Shutdown() error
		}
		judge func(int, []byte, callback) error
		fails bool
	}{
		"bare":                         {newBare(), wantsOK, false},
		"verified":                     {verified, wantsAccepted, false},
		"verified with another secret": {stranger, wantsAccepted, true},
	} {
		t.Run(name, func(t *testing.T) {
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			require.NoError(t, err)
			served := make(chan error, 1)
			go func() { served <- tc.app.Listener(listener) }()
			work := load{addr: listener.Addr().String(), callbacks: callbacks, connections: 2, length: time.Minute, judge: tc.judge}
			_, err = work.apply(t.Context())
			require.Equal(t, tc.fails, err != nil, err)
			require.NoError(t, tc.app.Shutdown())
			require.NoError(t, <-served)
		})
	}
}

func TestAPlotIsXML(t *testing.T) {
	drawn := plot(`Ids <remembered> & "kept"`, []point{{n: 1000, cost: 0.5}, {n: 10_000_000, cost: 0.55}})
	d := xml.NewDecoder(strings.NewReader(string(drawn)))
	circles := 0
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		if start, ok := token.(xml.StartElement); ok && start.Name.Local == "circle" {
			circles++
		}
	}
	require.Equal(t, 2, circles)
}
