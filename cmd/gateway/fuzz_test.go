package main

import (
	"encoding/pem"
	"testing"

	"github.com/stretchr/testify/require"
)

// FuzzCaptured reads a file that somebody sent: it is a request with a whole
// body, or one of two errors that quote nothing of it.
func FuzzCaptured(f *testing.F) {
	for _, seed := range []string{
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}", "POST / HTTP/1.1\nHost: a\nContent-Length: 9\n\n{}",
		"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n{}",
		"", "GET", "\r\n\r\n", "POST / HTTP/1.1\r\nX: \x00\r\n\r\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		c, err := readCaptured(raw)
		if err != nil {
			require.True(t, err == errNotHTTP || err == errBodyLength, err)
			require.Zero(t, c)
			return
		}
		require.LessOrEqual(t, len(c.body), len(raw))
	})
}

// FuzzCertificates reads a file that may be anything.
func FuzzCertificates(f *testing.F) {
	f.Add([]byte("no certificate"))
	f.Add(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte{0x30, 0x03, 0x02, 0x01, 0x01}}))
	f.Add(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("secret")}))
	f.Fuzz(func(t *testing.T, text []byte) {
		all, err := certificatesIn(text)
		require.Equal(t, err != nil, len(all) == 0)
		for _, c := range all {
			require.NotEmpty(t, c.Raw)
		}
	})
}
