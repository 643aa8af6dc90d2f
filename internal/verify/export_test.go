package verify

import (
	"hash"
	"sync/atomic"
)

// What the tests need to know of the bounds.
const (
	MaxCandidates  = maxCandidates
	DiscoveryBurst = discoveryBurst
	RelearnBurst   = relearnBurst
)

// CountMACs makes v, which has computed none yet, count the MACs it computes.
func (v *Verifier) CountMACs() *atomic.Int64 {
	var n atomic.Int64
	for _, s := range v.secrets {
		for _, signer := range s.signers {
			newMAC := signer.pool.New
			signer.pool.New = func() any { return countedMAC{newMAC().(hash.Hash), &n} }
		}
	}
	return &n
}

type countedMAC struct {
	hash.Hash
	n *atomic.Int64
}

func (m countedMAC) Sum(dst []byte) []byte {
	m.n.Add(1)
	return m.Hash.Sum(dst)
}

// Candidate is a header value that was taken for a MAC.
type Candidate struct {
	Header, Encoding string
	MAC              []byte
}

// Candidates returns what is compared with a MAC for the headers h.
func Candidates(h Headers, only, expect string) []Candidate {
	a := newAttempt()
	a.begin(h, only, expect, 1)
	var found []Candidate
	for _, c := range a.candidates {
		found = append(found, Candidate{string(c.header), c.encoding, c.bytes[:c.size]})
	}
	return found
}
