package decrypt

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"
	"fmt"
)

// The sizes of an iv, in bytes.
const (
	shortIV = 12 // what NIST SP 800-38D recommends for GCM
	longIV  = aes.BlockSize
)

// key is an AES key in every mode that it may be used in.
type key struct {
	names struct{ gcm12, gcm16, cbc string }
	block cipher.Block
	gcm12 cipher.AEAD
	gcm16 cipher.AEAD
}

func newKeys(secrets []string) []*key {
	keys := make([]*key, len(secrets))
	for i, secret := range secrets {
		keys[i] = newKey(secretKey(secret))
	}
	return keys
}

// newKey returns nil where b has no AES key's length.
func newKey(b []byte) *key {
	block, err := aes.NewCipher(b)
	if err != nil {
		return nil
	}
	gcm12, err := cipher.NewGCM(block)
	if err != nil {
		return nil
	}
	gcm16, err := cipher.NewGCMWithNonceSize(block, longIV)
	if err != nil {
		return nil
	}
	k := &key{block: block, gcm12: gcm12, gcm16: gcm16}
	prefix := fmt.Sprintf("A%d", 8*len(b)) // as JWA (RFC 7518) begins a cipher's name
	k.names.gcm12, k.names.gcm16, k.names.cbc = prefix+"GCM", prefix+"GCM-16", prefix+"CBC"
	return k
}

// secretKey returns the AES key that a webhook secret stands for.
func secretKey(secret string) []byte {
	const size = 32 // bytes in a secret that the platform chose
	if decoded, ok := decodeBase64(nil, []byte(secret)); ok && len(decoded) == size {
		return decoded
	}
	return []byte(secret)
}

// openGCM decrypts s in the memory it was decoded to. A failed try destroys
// that, so every further one decodes afresh.
func (k *key) openGCM(s *sealed) (plaintext []byte, name string, ok bool) {
	if iv, text, ok := s.split(shortIV); ok {
		if plaintext, err := k.gcm12.Open(text[:0], iv, text, nil); err == nil {
			return plaintext, k.names.gcm12, true
		}
	}
	if iv, text, ok := s.split(longIV); ok {
		if plaintext, err := k.gcm16.Open(text[:0], iv, text, nil); err == nil {
			return plaintext, k.names.gcm16, true
		}
	}
	return nil, "", false
}

// openCBC decrypts s if its padding is right and its plaintext a JSON object,
// the two signs of a right key that there are.
func (k *key) openCBC(s *sealed) (plaintext []byte, name string, ok bool) {
	iv, text, ok := s.split(longIV)
	if !ok || len(text) == 0 || len(text)%aes.BlockSize != 0 {
		return nil, "", false
	}
	cipher.NewCBCDecrypter(k.block, iv).CryptBlocks(text, text)
	n, ok := unpad(text)
	if !ok || !isObject(text[:n]) {
		return nil, "", false
	}
	return text[:n], k.names.cbc, true
}

// unpad returns the length of b, whole blocks, without its PKCS #7 padding (RFC
// 5652, section 6.3). It takes the same time wherever the padding is wrong.
func unpad(b []byte) (int, bool) {
	last := b[len(b)-aes.BlockSize:]
	n := int(last[aes.BlockSize-1])
	ok := subtle.ConstantTimeLessOrEq(1, n) & subtle.ConstantTimeLessOrEq(n, aes.BlockSize)
	for i, c := range last {
		inPadding := subtle.ConstantTimeLessOrEq(aes.BlockSize-i, n)
		ok &= 1 ^ inPadding | subtle.ConstantTimeByteEq(c, byte(n)) // #nosec G115 -- n was a byte
	}
	return len(b) - n, ok == 1
}
