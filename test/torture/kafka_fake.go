package main

import (
	"context"
	"net"
	"sync"

	"github.com/twmb/franz-go/pkg/kfake"
)

// fakeKafka is a cluster in this process that can be told what to answer. It
// acknowledges from memory, and its log ends at its high watermark always.
type fakeKafka struct {
	cluster *kfake.Cluster
	doors   []*door // by broker
}

func newFakeKafka() (k *fakeKafka, err error) {
	k = &fakeKafka{}
	k.cluster, err = kfake.NewCluster(kfake.NumBrokers(brokerCount), kfake.ListenFn(k.listen))
	return k, err
}

func (k *fakeKafka) listen(network, address string) (net.Listener, error) {
	l, err := net.Listen(network, address)
	if err != nil {
		return nil, err
	}
	d := &door{Listener: l, guests: map[*guest]bool{}}
	k.doors = append(k.doors, d)
	return d, nil
}

func (k *fakeKafka) start() error                { return nil }
func (k *fakeKafka) stop()                       { k.cluster.Close() }
func (k *fakeKafka) alive() error                { return nil }
func (k *fakeKafka) ready(context.Context) error { return nil }
func (k *fakeKafka) addrs() []string             { return k.cluster.ListenAddrs() }
func (k *fakeKafka) addrsFor(int) []string       { return k.addrs() }

// door is where a broker's answers leave.
type door struct {
	net.Listener

	mu     sync.Mutex
	manner manner // nil: they leave
	guests map[*guest]bool
}

// manner is what becomes of an answer.
type manner func(g *guest, answer []byte) (int, error)

// guest is a connection to a broker.
type guest struct {
	net.Conn
	door *door
	lost bool // an answer: nothing that follows makes sense
}

func (d *door) Accept() (net.Conn, error) {
	conn, err := d.Listener.Accept()
	if err != nil {
		return nil, err
	}
	g := &guest{Conn: conn, door: d}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.guests[g] = true
	return g, nil
}

func (g *guest) Write(answer []byte) (int, error) {
	g.door.mu.Lock()
	do := g.door.manner
	g.door.mu.Unlock()
	if do == nil {
		return g.Conn.Write(answer)
	}
	return do(g, answer)
}

func (g *guest) Close() error {
	g.door.mu.Lock()
	delete(g.door.guests, g)
	g.door.mu.Unlock()
	return g.Conn.Close()
}

// behave changes what becomes of answers.
func (d *door) behave(m manner) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.manner = m
}

// turnOut ends the connections on which an answer was lost, as a system does
// that sends in vain.
func (d *door) turnOut() {
	d.mu.Lock()
	var lost []*guest
	for g := range d.guests {
		if g.lost {
			lost = append(lost, g)
		}
	}
	d.mu.Unlock()
	for _, g := range lost {
		g.Close()
	}
}
