package simulator_test

import (
	"io"
	"testing"

	"github.com/segmentio/kafka-go"
	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/simulator"
)

func TestBrokerKeepsWhatAClientProduces(t *testing.T) {
	broker, err := simulator.NewBroker(0)
	require.NoError(t, err)
	t.Cleanup(broker.Close)
	require.Regexp(t, `^127\.0\.0\.1:[1-9]\d*$`, broker.Addr())
	client := &kafka.Client{Addr: kafka.TCP(broker.Addr())}

	created, err := client.CreateTopics(t.Context(), &kafka.CreateTopicsRequest{
		Topics: []kafka.TopicConfig{{Topic: "awareid.enrollment", NumPartitions: 3, ReplicationFactor: 1}},
	})
	require.NoError(t, err)
	require.NoError(t, created.Errors["awareid.enrollment"])

	produced, err := client.Produce(t.Context(), &kafka.ProduceRequest{
		Topic:        "awareid.enrollment",
		Partition:    2,
		RequiredAcks: kafka.RequireAll,
		Records:      kafka.NewRecordReader(kafka.Record{Key: kafka.NewBytes([]byte("k")), Value: kafka.NewBytes([]byte("v"))}),
	})
	require.NoError(t, err)
	require.NoError(t, produced.Error)

	fetched, err := client.Fetch(t.Context(), &kafka.FetchRequest{Topic: "awareid.enrollment", Partition: 2, MinBytes: 1, MaxBytes: 1 << 20})
	require.NoError(t, err)
	record, err := fetched.Records.ReadRecord()
	require.NoError(t, err)
	value, err := io.ReadAll(record.Value)
	require.NoError(t, err)
	require.Equal(t, "v", string(value))
}

func TestBrokerTellsOfATakenPort(t *testing.T) {
	_, err := simulator.NewBroker(1 << 17)
	require.ErrorContains(t, err, "start embedded broker")
}
