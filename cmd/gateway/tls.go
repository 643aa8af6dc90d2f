package main

import (
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"awareid-gateway/internal/config"
	"awareid-gateway/internal/secrets"
	"awareid-gateway/internal/server"
)

// tlsFiles are what a listener proves itself with; clientCA may be "".
type tlsFiles struct {
	variable string // that names the certificate

	cert, key, clientCA string
}

// proofs are of the listeners that have TLS; nil ones have not.
type proofs struct{ public, admin *server.TLS }

func publicFiles(cfg config.Config) tlsFiles {
	return tlsFiles{"HTTP_TLS_CERT_FILE", cfg.HTTPTLSCertFile, cfg.HTTPTLSKeyFile, cfg.HTTPTLSClientCAFile}
}

func adminFiles(cfg config.Config) tlsFiles {
	return tlsFiles{"ADMIN_TLS_CERT_FILE", cfg.AdminTLSCertFile, cfg.AdminTLSKeyFile, ""}
}

// openProofs reads the files of both listeners and says in the log what protects
// the public one.
func openProofs(cfg config.Config, log *slog.Logger, reg prometheus.Registerer) (p proofs, err error) {
	if p.public, err = publicFiles(cfg).open(); err != nil {
		return p, err
	}
	if p.admin, err = adminFiles(cfg).open(); err != nil {
		return p, err
	}
	for listener, proof := range map[string]*server.TLS{"public": p.public, "admin": p.admin} {
		if proof != nil {
			proof.Register(reg, listener)
			sayEnd(log, listener, proof.NotAfter())
		}
	}
	if p.public == nil {
		sayPlain(log, cfg)
	}
	return p, nil
}

func sayEnd(log *slog.Logger, listener string, end time.Time) {
	if time.Now().After(end) {
		log.Warn("the TLS certificate has ended", "listener", listener, "not_after", end)
		return
	}
	log.Info("TLS", "listener", listener, "not_after", end)
}

// sayPlain warns of plain HTTP where others than this host can reach it.
func sayPlain(log *slog.Logger, cfg config.Config) {
	const text = "plain HTTP: put a TLS proxy in front, or set HTTP_TLS_CERT_FILE"
	if config.IsLoopback(cfg.HTTPAddr) {
		log.Info(text)
		return
	}
	log.Warn(text)
}

// check looks whether a listener's files fit together, and when they end.
func (f tlsFiles) check(r *report) {
	proof, err := f.open()
	switch {
	case err != nil:
		r.fail("certificates", err)
	case proof != nil:
		checkCertificateFile(f.variable, f.cert, r)
		checkCertificateFile("HTTP_TLS_CLIENT_CA_FILE", f.clientCA, r)
	}
}

// open returns nil where no files are named.
func (f tlsFiles) open() (*server.TLS, error) {
	if f.cert == "" {
		return nil, nil
	}
	contents := make([][]byte, len(f.paths()))
	for i, path := range f.paths() {
		content, err := os.ReadFile(path)
		if err != nil {
			return nil, usageError{fmt.Errorf("%s: %w", f.variable, err)}
		}
		defer clear(content)
		contents[i] = content
	}
	proof, err := server.NewTLS(contents[0], contents[1], third(contents))
	if err != nil {
		return nil, usageError{fmt.Errorf("%s: %w", f.variable, err)}
	}
	return proof, nil
}

// watched is what keeps a proof at what the files hold.
func (f tlsFiles) watched(proof *server.TLS) secrets.File {
	return secrets.File{Name: f.variable, Paths: f.paths(), Set: func(contents [][]byte) error {
		return proof.Set(contents[0], contents[1], third(contents))
	}}
}

func (f tlsFiles) paths() []string {
	paths := []string{f.cert, f.key}
	if f.clientCA != "" {
		paths = append(paths, f.clientCA)
	}
	return paths
}

// third is the clients' CA, nil for none.
func third(contents [][]byte) []byte {
	if len(contents) < 3 {
		return nil
	}
	return contents[2]
}
