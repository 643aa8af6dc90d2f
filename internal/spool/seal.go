package spool

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
)

const keyCheckSize = 16

// sealer encrypts bodies; the zero value leaves them as they are.
type sealer struct {
	aead  cipher.AEAD
	check [keyCheckSize]byte // recognizes the key and tells nothing about it
}

func newSealer(key []byte) (sealer, error) {
	if key == nil {
		return sealer{}, nil
	}
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
