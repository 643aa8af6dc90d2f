package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// judged is what a check prints, without the padding.
func judged(check func(*report)) string {
	var out strings.Builder
	check(&report{out: &out})
	return strings.Join(strings.Fields(out.String()), " ")
}

func TestCheckClock(t *testing.T) {
	for ahead, want := range map[time.Duration]string{
		0:                    "",
		2 * time.Second:      "",
		-2001e6:              "warn store the clocks of Redis and this machine differ by 2.001s: run a time service on both",
		5 * time.Minute:      "warn store the clocks of Redis and this machine differ by 5m0s: run a time service on both",
		-5*time.Minute - 1e6: "FAIL store the clocks of Redis and this machine differ by 5m0.001s: they are late; set the wrong one right",
	} {
		require.Equal(t, want, judged(func(r *report) { checkClock("store", "Redis", "they are late", ahead, r) }), ahead)
	}
}

func TestCheckCertificateFile(t *testing.T) {
	const day = 24 * time.Hour
	for _, test := range []struct {
		name, want string
		text       []byte
	}{
		{"good", "^ok certificates A_FILE: .* good until ", certificate(t, 31*day)},
		{"ends soon", "^warn certificates A_FILE: .* ends on .*, in 29 days; order a new one$", certificate(t, 29*day)},
		{"one of two ends soon", "^warn .*in 29 days", append(certificate(t, 90*day), certificate(t, 29*day)...)},
		{"has ended", "^FAIL certificates A_FILE: .* ended on .*; put a new one there$", certificate(t, -time.Minute)},
		{"none", "^FAIL .*holds no certificate in PEM$", []byte("a word")},
		{"not one", "^FAIL .*holds a certificate that cannot be read$", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("a word")})},
		{"no file", "^FAIL .*no such file", nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "cert.pem")
			if test.text != nil {
				require.NoError(t, os.WriteFile(path, test.text, 0o600))
			}
			require.Regexp(t, test.want, judged(func(r *report) { checkCertificateFile("A_FILE", path, r) }))
		})
	}
	require.Empty(t, judged(func(r *report) { checkCertificateFile("A_FILE", "", r) }))
}

func certificate(t *testing.T, left time.Duration) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(left + time.Hour/2)}
	if left < 0 {
		template.NotAfter = time.Now().Add(left)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func TestJudgeVolume(t *testing.T) {
	judge := func(v volume) string { return judged(func(r *report) { judgeVolume("spool", v, 1000, r) }) }
	require.Empty(t, judge(volume{free: 1000}))
	require.Equal(t, "warn spool the volume of spool has 999 bytes free, SPOOL_MAX_BYTES is 1000: it would be full first; lower the one or make room", judge(volume{free: 999}))
	require.Regexp(t, "^warn spool spool is on a file system in memory: .*persistent volume$", judge(volume{free: 1000, fleeting: "a file system in memory"}))
}

// TestCheckVolume leaves no file, and says where none can be made.
func TestCheckVolume(t *testing.T) {
	dir := t.TempDir()
	require.NotContains(t, judged(func(r *report) { checkVolume(existingPart(filepath.Join(dir, "a", "b")), 1, r) }), "FAIL")
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, left)

	file := filepath.Join(dir, "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	require.Contains(t, judged(func(r *report) { checkVolume(file, 1, r) }), "FAIL spool cannot write to "+file)
}

func TestRedisTooOld(t *testing.T) {
	for version, want := range map[string]bool{"5.0.14": true, "6.0.0": false, "7.0.15": false, "10.1": false, "": false, "unknown": false} {
		require.Equal(t, want, redisTooOld(version), version)
	}
}
