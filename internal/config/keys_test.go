package config_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
)

// Throw-away keys, made for each run.
var (
	privateKey      = pkcs8(must(rsa.GenerateKey(rand.Reader, 2048)))
	privateKeyPKCS1 = pemOf("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(must(rsa.GenerateKey(rand.Reader, 2048))))
	shortKey        = pkcs8(must(rsa.GenerateKey(rand.Reader, 1024)))
	ecKey           = pkcs8(must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)))
)

func pkcs8(key any) string { return pemOf("PRIVATE KEY", must(x509.MarshalPKCS8PrivateKey(key))) }

func pemOf(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}
