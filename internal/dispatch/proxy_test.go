package dispatch_test

import (
	"context"
	"io"
	"log/slog"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"awareid-gateway/internal/dispatch"
)

// swallower is a TCP proxy in front of a broker. Asked to, it takes a produce
// request through and drops the connection in place of the answer.
type swallower struct {
	listener net.Listener
	target   string
	armed    atomic.Bool
	lost     atomic.Bool
}

func newSwallower(t *testing.T, target string) *swallower {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s := &swallower{listener: l, target: target}
	t.Cleanup(func() { l.Close() })
	go s.serve()
	return s
}

func (s *swallower) swallowNext()    { s.armed.Store(true) }
func (s *swallower) swallowed() bool { return s.lost.Load() }

func (s *swallower) serve() {
	for {
		client, err := s.listener.Accept()
		if err != nil {
			return
		}
		broker, err := net.Dial("tcp", s.target)
		if err != nil {
			client.Close()
			continue
		}
		var producing atomic.Bool // the request under way is a produce request
		go s.requests(broker, client, &producing)
		go s.answers(client, broker, &producing)
	}
}

func (s *swallower) requests(broker, client net.Conn, producing *atomic.Bool) {
	defer broker.Close()
	for {
		frame, err := readFrame(client)
		if err != nil {
			return
		}
		producing.Store(int16(frame[4])<<8|int16(frame[5]) == int16(kmsg.Produce))
		if _, err := broker.Write(frame); err != nil {
			return
		}
	}
}

func (s *swallower) answers(client, broker net.Conn, producing *atomic.Bool) {
	defer client.Close()
	for {
		frame, err := readFrame(broker)
		if err != nil {
			return
		}
		if producing.Load() && s.armed.CompareAndSwap(true, false) {
			s.lost.Store(true)
			return
		}
		if _, err := client.Write(frame); err != nil {
			return
		}
	}
}

// readFrame reads a message with its length of 4 bytes.
func readFrame(r io.Reader) ([]byte, error) {
	frame := make([]byte, 4)
	if _, err := io.ReadFull(r, frame); err != nil {
		return nil, err
	}
	n := int(frame[0])<<24 | int(frame[1])<<16 | int(frame[2])<<8 | int(frame[3])
	frame = append(frame, make([]byte, n)...)
	_, err := io.ReadFull(r, frame[4:])
	return frame, err
}

// newKafkaAt reaches the broker through the proxy only: the broker's own
// address in its metadata is dialled there too.
func newKafkaAt(t *testing.T, proxy *swallower, cluster *kfake.Cluster, produceTimeout time.Duration) *dispatch.Kafka {
	setUp := newKafka(t, cluster, produceTimeout) // creates the topic
	setUp.Close()
	k := dispatch.NewKafka(dispatch.KafkaOptions{
		Brokers: []string{proxy.listener.Addr().String()}, Topics: []string{topic},
		ProduceTimeout: produceTimeout, Log: slog.New(slog.DiscardHandler),
		Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, proxy.listener.Addr().String())
		},
	})
	t.Cleanup(k.Close)
	require.NoError(t, k.Start(t.Context()))
	return k
}
