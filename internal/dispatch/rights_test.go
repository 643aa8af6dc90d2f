package dispatch_test

import (
	"log/slog"
	"testing"
	"time"

	"github.com/segmentio/kafka-go/sasl/plain"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"awareid-gateway/internal/dispatch"
)

// TestReviewRights names what a user lacks, on brokers that keep rights.
func TestReviewRights(t *testing.T) {
	t.Parallel()
	const describe, settings, read, write = kmsg.ACLOperationDescribe, kmsg.ACLOperationDescribeConfigs, kmsg.ACLOperationRead, kmsg.ACLOperationWrite
	const idempotentWrite = kmsg.ACLOperationIdempotentWrite
	for _, test := range []struct {
		name    string
		topic   []kmsg.ACLOperation
		cluster []kmsg.ACLOperation
		want    []string
	}{
		{"all", []kmsg.ACLOperation{describe, settings, read, write}, []kmsg.ACLOperation{idempotentWrite}, nil},
		{"no Read", []kmsg.ACLOperation{describe, settings, write}, []kmsg.ACLOperation{idempotentWrite}, []string{"topic awareid.enrollment: this user lacks Read"}},
		{"no Write", []kmsg.ACLOperation{describe, read}, []kmsg.ACLOperation{idempotentWrite}, []string{"topic awareid.enrollment: this user lacks Write, DescribeConfigs"}},
		{"nothing but Describe", []kmsg.ACLOperation{describe}, nil, []string{
			"topic awareid.enrollment: this user lacks Read, Write, DescribeConfigs", "cluster: this user lacks IdempotentWrite",
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var acls []kfake.ACL
			for _, op := range test.topic {
				acls = append(acls, kfake.ACL{Resource: kmsg.ACLResourceTypeTopic, Name: topic, Pattern: kmsg.ACLResourcePatternTypeLiteral, Operation: op, Allow: true})
			}
			for _, op := range test.cluster {
				acls = append(acls, kfake.ACL{Resource: kmsg.ACLResourceTypeCluster, Name: "kafka-cluster", Pattern: kmsg.ACLResourcePatternTypeLiteral, Operation: op, Allow: true})
			}
			cluster := newBroker(t, kfake.SeedTopics(1, topic), kfake.EnableACLs(), kfake.EnableSASL(), kfake.User("PLAIN", "gateway", "password", acls...))
			k := dispatch.NewKafka(dispatch.KafkaOptions{
				Brokers: cluster.ListenAddrs(), Topics: []string{topic}, ProduceTimeout: 10 * time.Second,
				SASL: plain.Mechanism{Username: "gateway", Password: "password"}, Log: slog.New(slog.DiscardHandler),
			})
			t.Cleanup(k.Close)
			missing, err := k.ReviewRights(t.Context())
			require.NoError(t, err)
			require.Equal(t, test.want, missing)
		})
	}
}

// TestReviewRightsWithoutAuthorizer lacks nothing, and has no answer where no
// topic is there to tell of.
func TestReviewRightsWithoutAuthorizer(t *testing.T) {
	t.Parallel()
	k := newKafka(t, newBroker(t), 10*time.Second)
	missing, err := k.ReviewRights(t.Context())
	require.NoError(t, err)
	require.Empty(t, missing)

	k = dispatch.NewKafka(dispatch.KafkaOptions{
		Brokers: newBroker(t).ListenAddrs(), Topics: []string{topic}, ProduceTimeout: 10 * time.Second, Log: slog.New(slog.DiscardHandler),
	})
	t.Cleanup(k.Close)
	_, err = k.ReviewRights(t.Context())
	require.ErrorContains(t, err, "Unknown Topic")
}

// TestReviewRightsNotTold: brokers before Kafka 2.3 cannot tell, which is not that
// the user lacks everything.
func TestReviewRightsNotTold(t *testing.T) {
	t.Parallel()
	k := newKafka(t, newBroker(t, kfake.SeedTopics(1, topic), kfake.MaxVersions(kversion.V2_2_0())), 10*time.Second)
	missing, err := k.ReviewRights(t.Context())
	require.ErrorContains(t, err, "do not tell what this user may do")
	require.Empty(t, missing)
}
