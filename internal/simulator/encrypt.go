package simulator

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
)

// envelope is the reference's form of an encrypted body: encrypted symmetric
// key, initial vector, encrypted payload. encoding/json writes them in base64.
type envelope struct {
	Key []byte `json:"key,omitempty"`
	IV  []byte `json:"iv"`
	P   []byte `json:"p"`
}

func (s Scheme) bare() bool { return s.Cipher == "bare-gcm" || s.Cipher == "bare-cbc" }

// encrypt returns the callback's body.
func (s Scheme) encrypt(event []byte) ([]byte, error) {
	if s.Cipher == "none" {
		return event, nil
	}
	key, wrapped, err := s.contentKey()
	if err != nil {
		return nil, err
	}
	iv, ciphertext, err := s.encipher(key, event)
	if err != nil {
		return nil, err
	}
	if !s.bare() {
		return json.Marshal(envelope{Key: wrapped, IV: iv, P: ciphertext})
	}
	if wrapped != nil {
		return nil, errors.New("a bare body has no place for a wrapped key")
	}
	return base64.StdEncoding.AppendEncode(nil, append(iv, ciphertext...)), nil
}

// contentKey returns the AES key and, where it is a fresh one, its wrapping.
func (s Scheme) contentKey() (key, wrapped []byte, err error) {
	if s.PublicKey == nil {
		key, err = s.secret()
		return key, nil, err
	}
	key = random(secretBytes)
	wrapped, err = rsa.EncryptOAEP(sha256.New(), rand.Reader, s.PublicKey, key, nil)
	if err != nil {
		return nil, nil, fmt.Errorf("wrap key: %w", err)
	}
	return key, wrapped, nil
}

func (s Scheme) encipher(key, event []byte) (iv, ciphertext []byte, err error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, nil, err
	}
	switch s.Cipher {
	case "", "gcm", "bare-gcm":
		return sealGCM(block, 12, event)
	case "gcm16":
		return sealGCM(block, 16, event)
	case "cbc", "bare-cbc":
		iv, ciphertext = sealCBC(block, event)
		return iv, ciphertext, nil
	}
	return nil, nil, fmt.Errorf("unknown cipher %q", s.Cipher)
}

func sealGCM(block cipher.Block, ivBytes int, event []byte) (iv, ciphertext []byte, err error) {
	gcm, err := cipher.NewGCMWithNonceSize(block, ivBytes)
	if err != nil {
		return nil, nil, err
	}
	iv = random(ivBytes)
	return iv, gcm.Seal(nil, iv, event, nil), nil
}

func sealCBC(block cipher.Block, event []byte) (iv, ciphertext []byte) {
	iv = random(aes.BlockSize)
	padding := aes.BlockSize - len(event)%aes.BlockSize
	ciphertext = append(bytes.Clone(event), bytes.Repeat([]byte{byte(padding)}, padding)...)
	cipher.NewCBCEncrypter(block, iv).CryptBlocks(ciphertext, ciphertext)
	return iv, ciphertext
}

// random returns n bytes of crypto/rand, which never fails.
func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}
