package decrypt

import (
	"bytes"
	"crypto/cipher"
)

// DecryptBlocks decrypts whole blocks in CBC mode as openCBC does, for vectors
// whose plaintext is neither padded nor JSON.
func DecryptBlocks(aesKey, iv, text []byte) {
	cipher.NewCBCDecrypter(newKey(aesKey).block, iv).CryptBlocks(text, text)
}

// Unpad exports unpad.
var Unpad = unpad

// DecodeBase64 exports decodeBase64.
func DecodeBase64(text []byte) ([]byte, bool) { return decodeBase64(nil, text) }

// Usual says what the reader of usual bodies makes of one: that it is no envelope
// (other), or what is in it, or (none of both) that it does not know.
func Usual(body []byte) (other bool, iv, p []byte) {
	body = bytes.Trim(body, whitespace)
	if len(body) == 0 || body[0] != '{' {
		return false, nil, nil
	}
	if e, ok := readUsual(body); ok {
		if s, ok := e.decoded(); ok {
			return isOther(body), s.iv, s.buf
		}
	}
	return isOther(body), nil, nil
}

// Unusual says the same by way of the reader of JSON in any form. It always knows.
func Unusual(body []byte) (other bool, iv, p []byte) {
	e, err := readEnvelope(bytes.Trim(body, whitespace))
	if err != nil {
		return false, nil, nil
	}
	if e == nil {
		return true, nil, nil
	}
	iv, okIV := decodeBase64(nil, e.iv)
	p, okP := decodeBase64(nil, e.p)
	if !okIV || !okP || len(e.key) > 0 {
		return false, nil, nil
	}
	return false, iv, p
}
