package main

import (
	"context"
	"fmt"
	"net"

	"awareid-gateway/internal/config"
)

// listeners are the gateway's doors. probe may be nil.
type listeners struct{ public, admin, probe net.Listener }

func listen(cfg config.Config) (l listeners, err error) {
	defer func() {
		if err != nil {
			l.close()
		}
	}()
	var plain net.ListenConfig
	plain.SetMultipathTCP(false) // server.Server can part in peace from plain TCP alone
	plain.KeepAlive = -1         // who is silent has little time anyway, and four calls to the system go with it
	if l.public, err = plain.Listen(context.Background(), "tcp", cfg.HTTPAddr); err != nil {
		return l, fmt.Errorf("HTTP_ADDR: %w", err)
	}
	if l.admin, err = net.Listen("tcp", cfg.AdminAddr); err != nil {
		return l, fmt.Errorf("ADMIN_ADDR: %w", err)
	}
	if cfg.ProbeAddr != "" {
		if l.probe, err = net.Listen("tcp", cfg.ProbeAddr); err != nil {
			return l, fmt.Errorf("PROBE_ADDR: %w", err)
		}
	}
	return l, nil
}

func (l listeners) close() {
	for _, one := range []net.Listener{l.public, l.admin, l.probe} {
		if one != nil {
			one.Close()
		}
	}
}
