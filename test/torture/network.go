package main

import (
	"errors"
	"fmt"
	"strings"
	"sync"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
)

// link is the way from one gateway to one server, through a proxy that can do
// harm to what passes.
type link struct {
	name             string
	gateway          int
	listen, upstream string

	mu    sync.Mutex
	proxy *toxiproxy.Proxy // nil while it is cut
}

func newLink(b *bench, name string, gateway int, upstream string) *link {
	return &link{name: fmt.Sprintf("gateway-%d to %s", gateway, name), gateway: gateway, listen: b.addr(), upstream: upstream}
}

// open lets everything pass, and connections be made.
func (l *link) open() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	proxy := toxiproxy.NewProxy(server, l.name, l.listen, l.upstream)
	if err := proxy.Start(); err != nil {
		return fmt.Errorf("%s: %w", l.name, err)
	}
	l.proxy = proxy
	return nil
}

// cut ends all connections, and refuses new ones.
func (l *link) cut() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.proxy != nil {
		l.proxy.Stop()
		l.proxy = nil
	}
	return nil
}

// reopen ends all harm, and with it the connections: of some a part was lost,
// and to take a toxic out of one whose end dies at that moment hangs for ever.
func (l *link) reopen() error {
	return errors.Join(l.cut(), l.open())
}

// toxic is one of the library's, in the JSON that it takes.
type toxic string

// The toxics. Latency, jitter and rate (KiB/s) are small enough that nothing is
// under way for as long as a lease lasts beyond the produce time-out: the
// gateway's promise rests on that.
const (
	swallowRequests toxic = `{"name":"requests","type":"timeout","stream":"upstream","attributes":{"timeout":0}}`
	swallowAnswers  toxic = `{"name":"answers","type":"timeout","stream":"downstream","attributes":{"timeout":0}}`
)

func delay(direction string, latency, jitter int) toxic {
	return toxic(fmt.Sprintf(`{"name":"delay %s","type":"latency","stream":%q,"attributes":{"latency":%d,"jitter":%d}}`,
		direction, direction, latency, jitter))
}

func narrow(direction string, rate int) toxic {
	return toxic(fmt.Sprintf(`{"name":"narrow %s","type":"bandwidth","stream":%q,"attributes":{"rate":%d}}`, direction, direction, rate))
}

// add does harm to what passes from now on.
func (l *link) add(toxics ...toxic) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, t := range toxics {
		if _, err := l.proxy.Toxics.AddToxicJson(strings.NewReader(string(t))); err != nil {
			return fmt.Errorf("%s: %s: %w", l.name, t, err)
		}
	}
	return nil
}
