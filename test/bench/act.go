package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os/signal"
	"strconv"
	"syscall"

	"github.com/alicebob/miniredis/v2"
	"github.com/gofiber/fiber/v2"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"awareid-gateway/internal/simulator"
	"awareid-gateway/internal/telemetry"
)

// actAs as the first argument makes this program one of the servers.
const actAs = "as"

// What it can be.
const (
	asBare     = "bare"     // PUBLIC ADMIN
	asVerified = "verified" // PUBLIC ADMIN SECRET
	asServices = "services" // KAFKA REDIS
)

// act is one of the servers until SIGTERM.
func act(part string, args []string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	switch part {
	case asBare:
		return serve(ctx, newBare(), args[0], args[1])
	case asVerified:
		app, err := newVerified(args[2])
		if err != nil {
			return err
		}
		return serve(ctx, app, args[0], args[1])
	case asServices:
		return services(ctx, args[0], args[1])
	}
	return fmt.Errorf("no part %q", part)
}

// serve shows metrics and readiness as the gateway does, so that all servers
// are measured alike.
func serve(ctx context.Context, app *fiber.App, public, admin string) error {
	l, err := net.Listen("tcp", public)
	if err != nil {
		return err
	}
	go app.Listener(l)
	mux := http.NewServeMux()
	mux.HandleFunc("/readyz", func(http.ResponseWriter, *http.Request) {})
	mux.Handle("/metrics", promhttp.HandlerFor(telemetry.NewRegistry("bench"), promhttp.HandlerOpts{}))
	go http.ListenAndServe(admin, mux)
	<-ctx.Done()
	return nil
}

// services are Kafka and, where it has an address, Redis in memory, of another
// process than the gateway.
func services(ctx context.Context, kafkaAddr, redisAddr string) error {
	if redisAddr != "" {
		if err := miniredis.NewMiniRedis().StartAddr(redisAddr); err != nil {
			return err
		}
	}
	_, text, err := net.SplitHostPort(kafkaAddr)
	if err != nil {
		return err
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		return err
	}
	if _, err := simulator.NewBroker(port); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}
