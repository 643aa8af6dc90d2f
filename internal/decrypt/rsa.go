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
	if len(o.private) == 0 {
		return nil, ""
	}
	wrapped, ok := decodeBase64(nil, text)
	if !ok {
		return nil, ""
	}
	last := int(o.wrap.Load())
	for i := range paddings {
		n := (last + i) % len(paddings)
		if unwrapped := o.decrypt(wrapped, &paddings[n].options); unwrapped != nil {
			o.wrap.Store(int32(n))
			return newKey(unwrapped), paddings[n].name
		}
	}
	return nil, ""
}

// decrypt tries each private key with one padding.
func (o *Opener) decrypt(wrapped []byte, padding *rsa.OAEPOptions) []byte {
	for _, private := range o.private {
		if len(wrapped) != private.Size() {
			continue
		}
		if unwrapped, err := private.Decrypt(nil, wrapped, padding); err == nil {
			return unwrapped
		}
	}
	return nil
}

// ParsePrivateKeys reads RSA private keys of at least 2048 bits in PEM, as PKCS #8
// or PKCS #1, one behind the other. An error says what is wrong with one and holds
// nothing of it.
func ParsePrivateKeys(text []byte) ([]*rsa.PrivateKey, error) {
	block, rest := pem.Decode(text)
	if block == nil {
		return nil, errors.New("private key is not PEM")
	}
	var keys []*rsa.PrivateKey
	for ; block != nil; block, rest = pem.Decode(rest) {
		key, err := parseBlock(block)
		clear(block.Bytes)
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	if err := checkSizes(keys); err != nil {
		return nil, err
	}
	return keys, nil
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

func checkSizes(keys []*rsa.PrivateKey) error {
	for _, key := range keys {
		if bits := key.N.BitLen(); bits < minRSABits {
			return fmt.Errorf("private key has %d bits, fewer than %d", bits, minRSABits)
		}
	}
	return nil
}
