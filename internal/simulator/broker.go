package simulator

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kfake"
)

// Broker is a Kafka broker in this process, on 127.0.0.1, without TLS or SASL.
// It speaks the wire protocol, so that any client can read from it, and keeps
// every record in memory until it is closed. It has no topics until a client
// creates them.
type Broker struct {
	cluster *kfake.Cluster
	addr    string
}

// NewBroker starts a broker on the port of 127.0.0.1, or on any free one for 0.
// The caller closes it.
func NewBroker(port int) (*Broker, error) {
	cluster, err := kfake.NewCluster(kfake.Ports(port))
	if err != nil {
		return nil, fmt.Errorf("start embedded broker: %w", err)
	}
	return &Broker{cluster: cluster, addr: cluster.ListenAddrs()[0]}, nil
}

// Addr returns the host:port that clients bootstrap from.
func (b *Broker) Addr() string { return b.addr }

// Close stops the broker and forgets its records. It may be called repeatedly.
func (b *Broker) Close() { b.cluster.Close() }
