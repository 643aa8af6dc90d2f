package main

import (
	"crypto/x509"
	"fmt"
	"os"

	"github.com/prometheus/client_golang/prometheus"

	"awareid-gateway/internal/awareid"
	"awareid-gateway/internal/config"
)

// newPlatform connects to nothing yet.
func newPlatform(p config.Platform, batch int, reg prometheus.Registerer) (*awareid.Client, error) {
	roots, err := platformRoots(p)
	if err != nil {
		return nil, err
	}
	client, err := awareid.New(awareid.Options{
		BaseURL: p.BaseURL, Customer: p.Customer, ClientID: p.ClientID,
		ClientSecret: awareid.Secret(p.ClientSecret), APIKey: awareid.Secret(p.APIKey),
		EventDataPath: p.EventDataPath, RootCAs: roots, BatchSize: batch, Metrics: reg,
	})
	if err != nil {
		return nil, usageError{err}
	}
	return client, nil
}

func platformRoots(p config.Platform) (*x509.CertPool, error) {
	if p.CAFile == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(p.CAFile)
	if err != nil {
		return nil, usageError{fmt.Errorf("AWAREID_CA_FILE: %w", err)}
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, usageError{fmt.Errorf("AWAREID_CA_FILE: %s holds no certificate in PEM", p.CAFile)}
	}
	return roots, nil
}
