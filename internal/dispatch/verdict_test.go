package dispatch_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/rawproduce"
	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/dispatch"
)

// TestJudge holds each answer to what a broker can have done before it: see
// ReplicaManager.appendRecords and DelayedProduce in Kafka.
func TestJudge(t *testing.T) {
	dial := &net.OpError{Op: "dial", Err: errors.New("connection refused")}
	reading := &net.OpError{Op: "read", Err: errors.New("connection reset by peer")}
	for want, errs := range map[any][]error{
		dispatch.Stored: {nil, kafka.DuplicateSequenceNumber},
		dispatch.NotStored: { // checked ahead of the append
			kafka.NotEnoughReplicas, kafka.LeaderNotAvailable, kafka.BrokerNotAvailable, kafka.InvalidMessage,
			dial, protocol.NewErrNoTopic("t"), protocol.NewErrNoPartition("t", 1), protocol.NewErrNoLeader("t", 1),
			rawproduce.NewError(errors.New("mismatching leaders (1!=2)")),
		},
		dispatch.PerhapsStored: { // or found while the append waited for the other replicas
			kafka.NotLeaderForPartition, kafka.KafkaStorageError, kafka.UnknownTopicOrPartition,
			kafka.RequestTimedOut, kafka.NotEnoughReplicasAfterAppend, kafka.NetworkException, kafka.Unknown,
			kafka.InvalidRequiredAcks, kafka.Error(9999),
			reading, io.EOF, io.ErrUnexpectedEOF, context.DeadlineExceeded, errors.New("anything"),
		},
		dispatch.Refused: {
			kafka.MessageSizeTooLarge, kafka.RecordListTooLarge, kafka.InvalidTimestamp, kafka.InvalidRecord,
		},
		dispatch.Denied: {
			kafka.TopicAuthorizationFailed, kafka.ClusterAuthorizationFailed, kafka.SASLAuthenticationFailed,
			kafka.InvalidTopic, kafka.PolicyViolation,
		},
		dispatch.BrokenSession: {
			kafka.OutOfOrderSequenceNumber, kafka.InvalidProducerEpoch, kafka.UnknownProducerId, kafka.ProducerFenced,
		},
	} {
		for _, err := range errs {
			require.Equal(t, want, dispatch.Judge(err), "%v", err)
			if err != nil {
				require.Equal(t, want, dispatch.Judge(fmt.Errorf("produce: %w", err)), "%v", err)
			}
		}
	}
}
