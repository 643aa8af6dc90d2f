package config

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"strings"
)

const minRSABits = 2048

// isKey reports whether s is base64 of 32 bytes, in the standard or the URL
// alphabet, padded or not.
func isKey(s Secret) bool {
	text := strings.TrimSuffix(s.Reveal(), "=")
	for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		key, err := encoding.Strict().DecodeString(text)
		// Decoding skips line ends, hence the length of the text as well.
		if err == nil && len(key) == 32 && len(text) == encoding.EncodedLen(32) {
			return true
		}
	}
	return false
}

// checkKeys reports what is no list of keys of 32 bytes.
func checkKeys(variable string, s Secret, bad problems) {
	keys := s.Keys()
	for i, key := range keys {
		switch {
		case !isKey(key) && len(keys) == 1:
			bad.add(variable, "not base64 of 32 bytes")
		case !isKey(key):
			bad.add(variable, "key %d is not base64 of 32 bytes", i+1)
		}
	}
}

// checkPrivateKeys returns why s is no RSA keys in PEM (PKCS #8 or PKCS #1) of at
// least minRSABits each, in words that hold nothing of it.
func checkPrivateKeys(s Secret) error {
	block, rest := pem.Decode([]byte(s.Reveal()))
	if block == nil {
		return errors.New("not PEM; a multi-line value is easiest given as a file")
	}
	for ; block != nil; block, rest = pem.Decode(rest) {
		if err := checkPrivateKey(block.Bytes); err != nil {
			return err
		}
	}
	if len(bytes.TrimSpace(rest)) > 0 {
		return errors.New("not PEM behind its last block")
	}
	return nil
}

func checkPrivateKey(der []byte) error {
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		key, err = x509.ParsePKCS1PrivateKey(der)
	}
	rsaKey, isRSA := key.(*rsa.PrivateKey)
	switch {
	case err != nil || !isRSA:
		return errors.New("no RSA private key in PKCS #8 or PKCS #1")
	case rsaKey.N.BitLen() < minRSABits:
		return errors.New("the RSA key is shorter than 2048 bits")
	}
	return nil
}
