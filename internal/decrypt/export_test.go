package decrypt

import "crypto/cipher"

// DecryptBlocks decrypts whole blocks in CBC mode as openCBC does, for vectors
// whose plaintext is neither padded nor JSON.
func DecryptBlocks(aesKey, iv, text []byte) {
	cipher.NewCBCDecrypter(newKey(aesKey).block, iv).CryptBlocks(text, text)
}

// Unpad exports unpad.
var Unpad = unpad
