package dispatch

import (
	"errors"
	"net"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/rawproduce"
)

// verdict is what an answer to a produce request, or its absence, says about
// the batch.
type verdict int

const (
	stored        verdict = iota
	notStored             // certainly not by this attempt; another may succeed
	perhapsStored         // the answer is missing, or is no answer
	denied                // certainly not, and not before somebody changes something
	refused               // certainly not: the records themselves are at fault
	brokenSession         // the broker's idea of the sequence is another
)

// worthRetrying: a session that broke after an attempt without an answer must
// not be replaced, because its end is what tells a repetition from a record.
func (v verdict) worthRetrying(maybeStored bool) bool {
	return v == notStored || v == perhapsStored || v == brokenSession && !maybeStored
}

// judge reads an error of a produce request. The codes are those of
// https://kafka.apache.org/protocol#protocol_error_codes.
func judge(err error) verdict {
	if err == nil {
		return stored
	}
	var code kafka.Error
	if !errors.As(err, &code) {
		return judgeTransport(err)
	}
	switch code {
	case kafka.DuplicateSequenceNumber:
		return stored // an earlier attempt at this very batch was
	case kafka.NotEnoughReplicas, kafka.LeaderNotAvailable, kafka.BrokerNotAvailable, kafka.InvalidMessage,
		kafka.ThrottlingQuotaExceeded:
		return notStored // checked ahead of the append
	case kafka.MessageSizeTooLarge, kafka.RecordListTooLarge, kafka.InvalidTimestamp, kafka.InvalidRecord:
		return refused
	case kafka.OutOfOrderSequenceNumber, kafka.InvalidProducerEpoch, kafka.UnknownProducerId,
		kafka.InvalidProducerIDMapping, kafka.ProducerFenced:
		return brokenSession
	case kafka.TopicAuthorizationFailed, kafka.ClusterAuthorizationFailed, kafka.SASLAuthenticationFailed,
		kafka.InvalidTopic, kafka.UnsupportedForMessageFormat, kafka.UnsupportedVersion, kafka.PolicyViolation:
		return denied
	}
	// All else may come after the append too: NOT_LEADER_OR_FOLLOWER of a leader
	// that lost its office while it waited for the other replicas, for one.
	return perhapsStored
}

// brokerAnswered says that the right broker was asked, and has just no better
// answer: asking for another would not help.
func brokerAnswered(err error) bool {
	return errors.Is(err, kafka.RequestTimedOut) || errors.Is(err, kafka.NotEnoughReplicas) ||
		errors.Is(err, kafka.NotEnoughReplicasAfterAppend) || errors.Is(err, kafka.ThrottlingQuotaExceeded)
}

// judgeTransport tells a request that cannot have left from one that may have
// arrived.
func judgeTransport(err error) verdict {
	var dial *net.OpError
	var unrouted *protocol.TopicError
	var unroutedPartition *protocol.TopicPartitionError
	var divided *rawproduce.Error // the partitions of the request have no leader in common
	switch {
	case errors.As(err, &dial) && dial.Op == "dial",
		errors.As(err, &unrouted), errors.As(err, &unroutedPartition), errors.As(err, &divided):
		return notStored
	}
	return perhapsStored
}

// isRefusal says that the records are at fault, so that one by one some of
// them may pass.
func isRefusal(err error) bool { return errors.Is(err, ErrRefused) }
