package spool

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

const keyCheckSize = 16

// sealer encrypts bodies; the zero value leaves them as they are.
type sealer struct {
	aead  cipher.AEAD
	check [keyCheckSize]byte // recognizes the key and tells nothing about it
}

func newSealer(key []byte) (sealer, error) {
	if len(key) != 32 {
		return sealer{}, errors.New("spool key is not 32 bytes")
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return sealer{}, fmt.Errorf("spool key: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return sealer{}, fmt.Errorf("spool key: %w", err)
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte("awareid-gateway spool key check v1"))
	s := sealer{aead: aead}
	copy(s.check[:], mac.Sum(nil))
	return s, nil
}

// newSealers returns one that leaves bodies as they are for no keys.
func newSealers(keys [][]byte) ([]sealer, error) {
	if len(keys) == 0 {
		return []sealer{{}}, nil
	}
	all := make([]sealer, len(keys))
	for i, key := range keys {
		var err error
		if all[i], err = newSealer(key); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// is says whether s wrote a segment with this header.
func (s sealer) is(h header) bool { return s.sealed() == h.sealed && s.check == h.keyCheck }

// keyError says what to do about a segment that none of the keys wrote. A spool is
// sealed or not as a whole, so there is no list of keys for what came before sealing.
func (l *Log) keyError(h header, path string) error {
	switch {
	case !h.sealed:
		return fmt.Errorf("%w: %s was written without one; start without SPOOL_KEY until the spool has drained, then set it", ErrKey, path)
	case !l.sealers[0].sealed():
		return fmt.Errorf("%w: %s was written with one, and there is none now; set SPOOL_KEY as it was until the spool has drained, then unset it", ErrKey, path)
	default:
		return fmt.Errorf("%w: %s was written with another; list that in SPOOL_KEY behind the new one until the spool has drained", ErrKey, path)
	}
}

// SetKeys has what comes sealed with the first of other keys; all of them open. It
// returns ErrKey, and changes nothing, while there are entries that none of them
// opens, or where it would begin or end sealing. It retains none of them.
func (l *Log) SetKeys(keys [][]byte) error {
	next, err := newSealers(keys)
	if err != nil {
		return err
	}
	l.disk.Lock()
	defer l.disk.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	if next[0].sealed() != l.sealers[0].sealed() {
		return fmt.Errorf("%w: sealing begins and ends with a restart, once the spool has drained", ErrKey)
	}
	for _, s := range l.segments {
		if !slices.ContainsFunc(next, func(n sealer) bool { return n.check == s.sealer.check }) {
			return fmt.Errorf("%w: what has not drained was written with another; list that behind the new one", ErrKey)
		}
	}
	l.sealers = next
	return nil
}

func (s sealer) sealed() bool { return s.aead != nil }

// place binds a body to where it stands, so that a frame cannot be moved.
func place(sequence uint64) []byte { return binary.BigEndian.AppendUint64(nil, sequence) }

// overhead is how many bytes sealing adds.
func (s sealer) overhead() int64 {
	if s.aead == nil {
		return 0
	}
	return int64(s.aead.Overhead())
}

func (s sealer) seal(body []byte, sequence uint64) []byte {
	if s.aead == nil {
		return body
	}
	return s.aead.Seal(nil, nil, body, place(sequence)) // #nosec G407 -- the AEAD draws its nonce itself
}

func (s sealer) open(body []byte, sequence uint64) ([]byte, error) {
	if s.aead == nil {
		return body, nil
	}
	return s.aead.Open(nil, nil, body, place(sequence))
}
