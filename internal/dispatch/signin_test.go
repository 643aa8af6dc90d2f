package dispatch_test

import (
	"log/slog"
	"testing"
	"time"

	"github.com/segmentio/kafka-go/sasl/plain"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"

	"awareid-gateway/internal/dispatch"
)

// TestAnotherPassword: new connections sign in with it.
func TestAnotherPassword(t *testing.T) {
	cluster := newBroker(t, kfake.EnableSASL(), kfake.Superuser("PLAIN", "gateway", "new"))
	k := dispatch.NewKafka(dispatch.KafkaOptions{
		Brokers: cluster.ListenAddrs(), Topics: []string{topic}, ProduceTimeout: time.Second, Log: slog.New(slog.DiscardHandler),
		SASL: plain.Mechanism{Username: "gateway", Password: "old"},
	})
	t.Cleanup(k.Close)
	plan := dispatch.TopicPlan{Create: true, Partitions: 1, Replication: 1}
	require.Error(t, k.EnsureTopics(t.Context(), plan))
	require.Error(t, k.SetSASL(nil))
	require.NoError(t, k.SetSASL(plain.Mechanism{Username: "gateway", Password: "new"}))
	require.Eventually(t, func() bool { return k.EnsureTopics(t.Context(), plan) == nil }, 10*time.Second, 10*time.Millisecond)

	open := newKafka(t, newBroker(t), time.Second)
	require.Error(t, open.SetSASL(plain.Mechanism{}), "signing in cannot begin")
}
