package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"net/http"
	"time"

	"awareid-gateway/internal/simulator"
)

// callback is a request that is ready to be sent, with what comes of it.
type callback struct {
	raw   []byte // the request from its first line on
	id    string
	value [sha256.Size]byte // hash of the event
}

// busiest is more events a second than any server takes whose events must all
// be new.
const busiest = 40_000

// warmUp is how many callbacks are sent ahead of the measured ones.
const warmUp = 500

// volume is how many callbacks of an event's size are signed: enough for the
// time, and no more than the memory holds.
func (o options) volume(size int) int {
	most := int(o.length.Seconds() * busiest)
	if o.rate > 0 {
		most = int(o.length.Seconds() * o.rate)
	}
	return min(warmUp+most, warmUp+int(o.memory)/(size*3/2))
}

// signer makes callbacks of distinct events. No event is sent twice to a
// gateway: each run has a webhook id of its own, under which all are new.
type signer struct {
	cipher  string
	secrets []string // of the webhooks, which take turns
	paths   []string // of the same
}

// sign makes n callbacks. What is signed here costs nothing while it is measured.
func (s signer) sign(n, size int) ([]callback, error) {
	g, err := simulator.NewGenerator(simulator.GeneratorOptions{Seed: uint64(time.Now().UnixNano()), Size: size})
	if err != nil {
		return nil, err
	}
	all := make([]callback, n)
	for i := range all {
		e, err := g.Next()
		if err != nil {
			return nil, err
		}
		hook := i % len(s.secrets)
		body, header, err := simulator.Scheme{Secret: s.secrets[hook], Cipher: s.cipher}.Seal(e.Body)
		if err != nil {
			return nil, err
		}
		all[i] = callback{raw: render(s.paths[hook], header, body), id: e.ID, value: sha256.Sum256(e.Body)}
	}
	return all, nil
}

func render(path string, header http.Header, body []byte) []byte {
	var head bytes.Buffer
	fmt.Fprintf(&head, "POST %s HTTP/1.1\r\nHost: bench\r\nContent-Length: %d\r\n", path, len(body))
	header.Write(&head) // to memory: it cannot fail
	head.WriteString("\r\n")
	return append(bytes.Clone(head.Bytes()), body...)
}
