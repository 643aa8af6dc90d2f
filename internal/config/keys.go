package config

import (
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

// checkPrivateKey returns why s is no RSA key in PEM (PKCS #8 or PKCS #1) of at
// least minRSABits, in words that hold nothing of it.
func checkPrivateKey(s Secret) error {
	block, _ := pem.Decode([]byte(s.Reveal()))
	if block == nil {
		return errors.New("not PEM; a multi-line value is easiest given as a file")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
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
