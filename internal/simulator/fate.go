package simulator

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/http"
)

// Rates are the shares of events, 0 to 1, that something happens to. They are
// independent of each other, but a lost event suffers nothing else.
type Rates struct {
	Loss    float64 // never sent: only event data knows it
	Repeat  float64 // posted twice, half of them at the same moment
	Reorder float64 // sent after the next event of its operation
	Tamper  float64 // preceded by a forged copy
}

func (r Rates) validate() error {
	for _, rate := range []float64{r.Loss, r.Repeat, r.Reorder, r.Tamper} {
		if !(rate >= 0 && rate <= 1) {
			return fmt.Errorf("a rate is a share from 0 to 1, not %v", rate)
		}
	}
	return nil
}

// Tampering says what was done to a forged copy.
type Tampering string

// The ways to forge. An attacker posts the copy; the platform's own post follows.
const (
	BodyFlipped      Tampering = "body"      // one bit of the body
	SignatureFlipped Tampering = "signature" // one character of the signature
	HeaderMissing    Tampering = "header"    // no signature, or no auth header where nothing is signed
)

// fate is what will happen to an event, drawn before it is sent so that runs of
// the same seed do the same, whatever the answers.
type fate struct {
	lost       bool
	reordered  bool
	repeated   bool
	concurrent bool
	tampering  Tampering // "": none
	at         float64   // where a flip goes, as a share of the middle half
}

func drawFate(rng *rand.Rand, rates Rates, s Scheme) fate {
	// Every number is drawn always, so that a changed rate leaves the others' draws alone.
	lost, reordered, repeated := rng.Float64(), rng.Float64(), rng.Float64()
	concurrent, tampered, way, at := rng.Float64(), rng.Float64(), rng.Float64(), rng.Float64()
	f := fate{lost: lost < rates.Loss}
	if f.lost {
		return f
	}
	f.reordered = reordered < rates.Reorder
	f.repeated = repeated < rates.Repeat
	f.concurrent = concurrent < 0.5
	f.at = at
	if ways := tamperings(s); tampered < rates.Tamper && len(ways) > 0 {
		f.tampering = ways[int(way*float64(len(ways)))]
	}
	return f
}

// tamperings are those that a receiver can tell from the scheme's own posts.
func tamperings(s Scheme) []Tampering {
	switch {
	case !s.Unsigned:
		return []Tampering{BodyFlipped, SignatureFlipped, HeaderMissing}
	case s.AuthHeaderKey != "":
		return []Tampering{HeaderMissing}
	}
	return nil
}

// forge returns a tampered copy of a sealed event and leaves the event alone.
func (f fate) forge(s Scheme, body []byte, header http.Header) ([]byte, http.Header) {
	body, header = bytes.Clone(body), header.Clone()
	switch f.tampering {
	case BodyFlipped:
		body[f.position(len(body))] ^= 1
	case SignatureFlipped:
		header.Set(s.signatureHeader(), f.flip(header.Get(s.signatureHeader()), len(s.Prefix)))
	case HeaderMissing:
		if s.Unsigned {
			header.Del(s.AuthHeaderKey)
		} else {
			header.Del(s.signatureHeader())
		}
	}
	return body, header
}

// position lies in the middle half of n bytes: in base64, the bits of the last
// characters may mean nothing.
func (f fate) position(n int) int { return n/4 + int(f.at*float64(n/2)) }

// flip changes one character after the prefix to another that every encoding
// has. A flipped bit would not do: in hex it may only turn a into A.
func (f fate) flip(signature string, prefix int) string {
	changed := []byte(signature)
	i := prefix + f.position(len(changed)-prefix)
	if changed[i] == '0' {
		changed[i] = '1'
	} else {
		changed[i] = '0'
	}
	return string(changed)
}
