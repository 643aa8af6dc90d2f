package decrypt

import (
	"crypto"
	"crypto/rsa"
	_ "crypto/sha1" // #nosec G505 -- the default of RSA-OAEP in RFC 8017, where collisions do no harm
	_ "crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
)

const minRSABits = 2048

// paddings are the kinds of RSA-OAEP (RFC 8017, section 7.1), in the order in
// which they are tried. OAEP is what keeps a wrong guess from unwrapping.
var paddings = [...]struct {
	name    string
	options rsa.OAEPOptions
}{
	{"RSA-OAEP-SHA256", rsa.OAEPOptions{Hash: crypto.SHA256}},
	{"RSA-OAEP-SHA1", rsa.OAEPOptions{Hash: crypto.SHA1}},
	// Java's OAEPWithSHA-256AndMGF1Padding, unless it is told otherwise.
	{"RSA-OAEP-SHA256-MGF1SHA1", rsa.OAEPOptions{Hash: crypto.SHA256, MGFHash: crypto.SHA1}},
}

// unwrap returns the AES key that text, in base64, wraps, and how; nil where it
// cannot.
func (o *Opener) unwrap(text []byte) (*key, string) {
	if o.private == nil {
		return nil, ""
	}
	wrapped, ok := decodeBase64(nil, text)
	if !ok || len(wrapped) != o.private.Size() {
		return nil, ""
	}
	last := int(o.wrap.Load())
	for i := range paddings {
		n := (last + i) % len(paddings)
		unwrapped, err := o.private.Decrypt(nil, wrapped, &paddings[n].options)
		if err != nil {
			continue
		}
		o.wrap.Store(int32(n))
		return newKey(unwrapped), paddings[n].name
	}
	return nil, ""
}

// ParsePrivateKey reads an RSA private key of at least 2048 bits in PEM, as
// PKCS #8 or PKCS #1. An error says what is wrong with it and holds nothing of
// it.
func ParsePrivateKey(text []byte) (*rsa.PrivateKey, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("private key is not PEM")
	}
	key, err := parseBlock(block)
	if err != nil {
		return nil, err
	}
	if err := checkSize(key); err != nil {
		return nil, err
	}
	return key, nil
}

func parseBlock(block *pem.Block) (*rsa.PrivateKey, error) {
	switch block.Type {
	case "RSA PRIVATE KEY":
		if block.Headers["DEK-Info"] != "" {
			return nil, errors.New("private key is encrypted; give it unencrypted")
		}
		key, err := x509.ParsePKCS1PrivateKey(block.Bytes)
		if err != nil {
			return nil, errors.New("private key is not valid PKCS #1")
		}
		return key, nil
	case "PRIVATE KEY":
		parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if err != nil {
			return nil, errors.New("private key is not valid PKCS #8")
		}
		key, ok := parsed.(*rsa.PrivateKey)
		if !ok {
			return nil, errors.New("private key is not an RSA key")
		}
		return key, nil
	case "ENCRYPTED PRIVATE KEY":
		return nil, errors.New("private key is encrypted; give it unencrypted")
	}
	return nil, errors.New("PEM block is not a private key in PKCS #8 or PKCS #1")
}

func checkSize(key *rsa.PrivateKey) error {
	if bits := key.N.BitLen(); bits < minRSABits {
		return fmt.Errorf("private key has %d bits, fewer than %d", bits, minRSABits)
	}
	return nil
}
