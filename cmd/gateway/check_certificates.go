package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	"awareid-gateway/internal/config"
)

// endsSoon leaves time for a certificate to be ordered.
const endsSoon = 30 * 24 * time.Hour

// checkCertificates looks at the files; whether the peers accept them shows
// when they are asked.
func checkCertificates(cfg config.Config, r *report) {
	publicFiles(cfg).check(r)
	adminFiles(cfg).check(r)
	checkCertificateFile("KAFKA_TLS_CA_FILE", cfg.KafkaTLSCAFile, r)
	checkCertificateFile("KAFKA_TLS_CERT_FILE", cfg.KafkaTLSCertFile, r)
	checkCertificateFile("AWAREID_CA_FILE", cfg.Platform.CAFile, r)
}

// checkCertificateFile judges the first of a file's certificates to end. No
// path is nothing to judge.
func checkCertificateFile(variable, path string, r *report) {
	if path == "" {
		return
	}
	text, err := os.ReadFile(path)
	if err != nil {
		r.fail("certificates", fmt.Errorf("%s: %w", variable, err))
		return
	}
	certificates, err := certificatesIn(text)
	if err != nil {
		r.fail("certificates", fmt.Errorf("%s: %s %w", variable, path, err))
		return
	}
	checkEnds(variable+": "+path, certificates, r)
}

// certificatesIn reads every certificate of a PEM file, at least one.
func certificatesIn(text []byte) ([]*x509.Certificate, error) {
	var all []*x509.Certificate
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, errors.New("holds a certificate that cannot be read")
		}
		all = append(all, c)
	}
	if len(all) == 0 {
		return nil, errors.New("holds no certificate in PEM")
	}
	return all, nil
}

func checkEnds(whose string, certificates []*x509.Certificate, r *report) {
	first := certificates[0]
	for _, c := range certificates {
		if c.NotAfter.Before(first.NotAfter) {
			first = c
		}
	}
	left, day := time.Until(first.NotAfter), first.NotAfter.UTC().Format(time.DateOnly)
	switch {
	case left <= 0:
		r.fail("certificates", fmt.Errorf("%s: ended on %s; put a new one there", whose, day))
	case left < endsSoon:
		r.warn("certificates", fmt.Sprintf("%s: ends on %s, in %.0f days; order a new one", whose, day, left.Hours()/24))
	default:
		r.ok("certificates", whose+": good until "+day)
	}
}

// checkPlatformServer looks at the clock and the certificate of the platform,
// without credentials. That it does not answer is another line's to say.
func checkPlatformServer(ctx context.Context, cfg config.Config, r *report) {
	if !cfg.Platform.Configured() {
		return
	}
	roots, err := platformRoots(cfg.Platform)
	if err != nil {
		return
	}
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(ctx, http.MethodHead, cfg.Platform.BaseURL, nil)
	if err != nil {
		return
	}
	answer, err := transport.RoundTrip(request) // follows no redirect: its clock would be another's
	if err != nil {
		return
	}
	defer answer.Body.Close()
	if theirs, err := http.ParseTime(answer.Header.Get("Date")); err == nil {
		checkClock("platform", "the platform", "its events would be quarantined as too new or too old", time.Until(theirs), r)
	}
	if answer.TLS != nil && len(answer.TLS.PeerCertificates) > 0 {
		checkEnds("the platform's", answer.TLS.PeerCertificates[:1], r)
	}
}
