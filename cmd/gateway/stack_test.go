package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/event"
	"awareid-gateway/internal/server"
	"awareid-gateway/internal/simulator"
)

// stack is what a gateway needs around it: Redis, Kafka, a webhook, and names
// in them that no other test has.
type stack struct {
	redisURL, brokers string
	prefix            string // of the topics
	hook              simulator.Webhook
	client            *http.Client
	spools            string // folder of spools
}

func newStack(t *testing.T) *stack {
	t.Helper()
	redisURL, brokers := backends(t)
	transport := &http.Transport{
		MaxIdleConnsPerHost: 64,
		IdleConnTimeout:     500 * time.Millisecond, // ahead of a gateway that stops, which waits for a second
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &stack{
		redisURL: redisURL, brokers: brokers,
		prefix: "test-" + strings.ToLower(rand.Text()[:10]),
		hook:   newDevWebhook(),
		spools: t.TempDir(),
		client: &http.Client{Transport: transport, Timeout: patience},
	}
}

// environ configures one webhook, and a spool of its own for each call; what is
// extra wins.
func (s *stack) environ(extra ...string) []string {
	return append(s.environWithoutWebhook(),
		append([]string{"AWAREID_WEBHOOK_ID=" + s.hook.ID, "AWAREID_WEBHOOK_SECRETS=" + s.hook.Secret}, extra...)...)
}

func (s *stack) environWithoutWebhook(extra ...string) []string {
	return append([]string{
		"REDIS_URL=" + s.redisURL, "KAFKA_BROKERS=" + s.brokers,
		"KAFKA_TOPIC_PREFIX=" + s.prefix, "KAFKA_TOPIC_PARTITIONS=3",
		"HTTP_ADDR=127.0.0.1:0", "ADMIN_ADDR=127.0.0.1:0", "LOG_LEVEL=debug",
		"SPOOL_DIR=" + filepath.Join(s.spools, rand.Text()),
	}, extra...)
}

func (s *stack) topic(family event.Family) string { return s.prefix + "." + string(family) }

func (s *stack) quarantine() string { return s.prefix + ".quarantine" }

// topics are all that the gateway makes by itself.
func (s *stack) topics() []string {
	topics := []string{s.quarantine()}
	for _, f := range event.Families() {
		topics = append(topics, s.topic(f))
	}
	return topics
}

// records reads all that these topics hold, or all topics for none named.
func (s *stack) records(t *testing.T, topics ...string) []simulator.Record {
	t.Helper()
	if len(topics) == 0 {
		topics = s.topics()
	}
	broker, _, _ := strings.Cut(s.brokers, ",")
	consumer, err := simulator.NewConsumer(broker, topics)
	require.NoError(t, err)
	defer consumer.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	total, err := consumer.Total(ctx)
	require.NoError(t, err)
	if total == 0 {
		return nil
	}
	var all []simulator.Record
	require.NoError(t, consumer.Run(ctx, func(r simulator.Record) {
		if all = append(all, r); len(all) == total {
			cancel()
		}
	}))
	require.Len(t, all, total)
	return all
}

// gateway is `gateway serve`, ready for callbacks.
type gateway struct {
	*program
	stack      *stack
	url, admin string
}

// serve starts a gateway with the one webhook of the stack.
func (s *stack) serve(t *testing.T, extra ...string) *gateway {
	t.Helper()
	return s.ready(t, start(t, s.environ(extra...), "serve"))
}

// ready waits until a program that serves is ready. When the test ends it must
// have stopped without complaint, and without a word of what is private.
func (s *stack) ready(t *testing.T, p *program) *gateway {
	t.Helper()
	address := func(listener string) string {
		return "http://" + p.await(t, p.err, 1, `"msg":"listening".*"listener":"`+listener+`","address":"([^"]+)"`)[1]
	}
	g := &gateway{program: p, stack: s, url: address("public"), admin: address("admin")}
	require.Eventually(t, func() bool { return g.get("/readyz").code == http.StatusOK }, patience, 10*time.Millisecond)
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(g.lastWords())
		}
		require.Equal(t, exitOK, g.end(t), g.lastWords())
		for _, private := range []string{s.hook.Secret, username, "operationToken", "Basic "} {
			require.NotContains(t, g.err.String(), private)
		}
	})
	return g
}

// answer is what came back for a request.
type answer struct {
	code   int
	Status string // of the JSON object
	ID     string
	header http.Header
	body   string
}

// get asks the admin listener. What went wrong is the body of an answer
// without a code.
func (g *gateway) get(path string) answer {
	request, err := http.NewRequest(http.MethodGet, g.admin+path, nil)
	if err != nil {
		return answer{body: err.Error()}
	}
	a, err := g.stack.do(request)
	if err != nil {
		return answer{body: err.Error()}
	}
	return a
}

// post sends a body to the webhook of a name, "" for the one webhook.
func (g *gateway) post(t *testing.T, name string, body []byte, header http.Header) answer {
	t.Helper()
	a, err := g.tryPost(name, body, header)
	require.NoError(t, err)
	return a
}

func (g *gateway) tryPost(name string, body []byte, header http.Header) (answer, error) {
	path := server.Path
	if name != "" {
		path += "/" + name
	}
	request, err := http.NewRequest(http.MethodPost, g.url+path, bytes.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	request.Header = header.Clone()
	return g.stack.do(request)
}

// send seals a sample for the one webhook and posts it.
func (g *gateway) send(t *testing.T, e sample) answer {
	t.Helper()
	body, header := seal(t, simulator.Scheme{Secret: g.stack.hook.Secret}, e.body)
	return g.post(t, "", body, header)
}

func (s *stack) do(request *http.Request) (answer, error) {
	response, err := s.client.Do(request)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return answer{}, err
	}
	a := answer{code: response.StatusCode, header: response.Header, body: string(body)}
	if strings.HasPrefix(response.Header.Get("Content-Type"), "application/json") {
		err = json.Unmarshal(body, &a)
	}
	return a, err
}

func requireAnswer(t *testing.T, code int, status, id string, a answer) {
	t.Helper()
	require.Equal(t, []any{code, status, id}, []any{a.code, a.Status, a.ID}, a.body)
}

func requireUnauthorized(t *testing.T, a answer) {
	t.Helper()
	require.Equal(t, http.StatusUnauthorized, a.code, a.body)
	require.Equal(t, "application/problem+json", a.header.Get("Content-Type"))
	require.JSONEq(t, `{"type":"about:blank","title":"Unauthorized","status":401}`, a.body)
}

func seal(t *testing.T, scheme simulator.Scheme, event []byte) ([]byte, http.Header) {
	t.Helper()
	body, header, err := scheme.Seal(event)
	require.NoError(t, err)
	return body, header
}

// ids are the CloudEvents ids of records, sorted.
func ids(records []simulator.Record) []string {
	var all []string
	for _, r := range records {
		all = append(all, r.Header("ce_id"))
	}
	return slices.Sorted(slices.Values(all))
}

// numbered configures several webhooks.
func numbered(hooks ...namedWebhook) []string {
	var vars []string
	for i, h := range hooks {
		vars = append(vars, fmt.Sprintf("WEBHOOKS_%d_NAME=%s", i, h.name),
			fmt.Sprintf("WEBHOOKS_%d_ID=%s", i, h.ID), fmt.Sprintf("WEBHOOKS_%d_SECRETS=%s", i, h.Secret))
	}
	return vars
}

type namedWebhook struct {
	name string
	simulator.Webhook
}
