package dispatch

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/segmentio/kafka-go/sasl"
)

// signIn is the sasl.Mechanism of new connections, which can be replaced.
type signIn struct {
	current atomic.Pointer[sasl.Mechanism]
}

// Name is that of the mechanism in force.
func (s *signIn) Name() string { return (*s.current.Load()).Name() }

// Start begins with the mechanism in force, and ends with it.
func (s *signIn) Start(ctx context.Context) (sasl.StateMachine, []byte, error) {
	return (*s.current.Load()).Start(ctx)
}

// mechanism is nil, not an interface that holds nil, where nobody signs in.
func (k *Kafka) mechanism() sasl.Mechanism {
	if k.opts.SASL == nil {
		return nil
	}
	return &k.signIn
}

// SetSASL has new connections sign in with another mechanism, such as one with
// another password; those that are open stay. It refuses to begin or to end with
// signing in.
func (k *Kafka) SetSASL(m sasl.Mechanism) error {
	if k.opts.SASL == nil || m == nil {
		return errors.New("signing in begins and ends with a restart")
	}
	k.signIn.current.Store(&m)
	return nil
}
