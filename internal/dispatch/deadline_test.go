package dispatch_test

import (
	"context"
	"io"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"

	"awareid-gateway/internal/dispatch"
)

// stall is a way to the broker that gets stuck with the first produce request:
// nobody reads it until told to.
type stall struct {
	listener net.Listener
	target   string
	resume   chan struct{}
	size     chan int   // of the request
	read     chan int64 // how much of it arrived, once it went on
}

func newStall(t *testing.T, target string) *stall {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	s := &stall{l, target, make(chan struct{}), make(chan int, 1), make(chan int64, 1)}
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			go s.serve(client)
		}
	}()
	return s
}

func (s *stall) serve(client net.Conn) {
	defer client.Close()
	_ = client.(*net.TCPConn).SetReadBuffer(4 << 10) // the rest stays with the sender
	broker, err := net.Dial("tcp", s.target)
	if err != nil {
		return
	}
	defer broker.Close()
	go io.Copy(client, broker)
	for {
		head := make([]byte, 6)
		if _, err := io.ReadFull(client, head); err != nil {
			return
		}
		rest := int(head[0])<<24 | int(head[1])<<16 | int(head[2])<<8 | int(head[3]) - 2
		if int16(head[4])<<8|int16(head[5]) == int16(kmsg.Produce) {
			s.size <- rest
			<-s.resume
			n, _ := io.Copy(io.Discard, client)
			s.read <- n
			return
		}
		if _, err := broker.Write(head); err != nil {
			return
		}
		if _, err := io.CopyN(broker, client, int64(rest)); err != nil {
			return
		}
	}
}

// TestNothingArrivesAfterTheDeadline: an heir may have read the partition by
// then. What the system has taken and not sent must not be sent.
func TestNothingArrivesAfterTheDeadline(t *testing.T) {
	cluster := newBroker(t)
	newKafka(t, cluster, time.Second).Close() // creates the topic
	s := newStall(t, cluster.ListenAddrs()[0])
	k := dispatch.NewKafka(dispatch.KafkaOptions{
		Brokers: []string{s.listener.Addr().String()}, Topics: []string{topic},
		ProduceTimeout: 600 * time.Millisecond, Log: slog.New(slog.DiscardHandler),
		Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, s.listener.Addr().String())
		},
	})
	t.Cleanup(k.Close)
	require.NoError(t, k.Start(t.Context()))

	_, err := produce(k, dispatch.Record{Value: make([]byte, 200<<10)}, 150*time.Millisecond)
	requireCause(t, dispatch.ErrUnknown, err)
	k.Close()
	close(s.resume)
	require.Less(t, <-s.read, int64(<-s.size))
}
