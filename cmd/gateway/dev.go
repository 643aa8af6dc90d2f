package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"awareid-gateway/internal/config"
	"awareid-gateway/internal/server"
	"awareid-gateway/internal/simulator"
	"awareid-gateway/internal/telemetry"
)

type devCmd struct {
	Count     int        `default:"0" help:"End after this many events: exit code 0 if the sums agree, 1 if not. 0: at Ctrl-C."`
	HTTP      string     `name:"http" default:"127.0.0.1:8080" help:"Address of the public listener; another port if it is taken."`
	Admin     string     `default:"127.0.0.1:9090" help:"Address of the admin listener; another port if it is taken."`
	KafkaPort int        `default:"9092" help:"Port of the embedded broker; another one if it is taken."`
	LogLevel  slog.Level `default:"warn" help:"Least level that the gateway logs: debug, info, warn, error."`
	Quiet     bool       `help:"Print no posts and records, only the sums."`
	rateFlags
	schemeFlags
}

// Help says what happens.
func (devCmd) Help() string {
	return "Runs the gateway with a store in a temporary file, a Kafka broker in this process and a simulated AwareID, all on 127.0.0.1. AwareID posts signed, encrypted callbacks over HTTP, some of them twice, and forged ones among them. Each record is printed as a Kafka consumer reads it back; the sums at the end must add up."
}

// Names of the two webhooks of a dev run: one for the simulated AwareID, one
// for whoever tries `gateway send`, so that the sums stay the simulator's.
const (
	devSimulated = "simulated"
	devYours     = "yours"
)

// devAuthHeader is the header of a dev run without signatures.
const devAuthHeader = "X-Dev-Auth"

// Validate refuses schemes that the gateway rejects always: who signs the
// plaintext, or nothing, needs a cipher that shows a change of the body.
func (c *devCmd) Validate() error {
	authenticated := strings.HasSuffix(strings.TrimSuffix(c.Cipher, "16"), "gcm")
	if (c.Unsigned || c.Covers == config.CoversPlaintext) && !authenticated {
		return fmt.Errorf("--cipher %s needs a signature over the body", c.Cipher)
	}
	return nil
}

// Run starts everything, lets the simulator send, and judges the sums.
func (c *devCmd) Run(ctx context.Context, io streams) error {
	dir, err := os.MkdirTemp("", "gateway-dev-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	broker, err := c.broker()
	if err != nil {
		return err
	}
	defer broker.Close()
	d := &devRun{cmd: c, out: io.out, seen: map[string]int{}}
	cfg, err := d.configure(dir, broker.Addr())
	if err != nil {
		return err
	}
	// The gateway outlives the signal, to take what is being sent.
	return d.run(ctx, cfg, telemetry.NewLogger(io.err, c.LogLevel, true))
}

func (c *devCmd) broker() (*simulator.Broker, error) {
	broker, err := simulator.NewBroker(c.KafkaPort)
	if err != nil {
		return simulator.NewBroker(0)
	}
	return broker, nil
}

// devRun is one run: the gateway, the consumer and what it has read.
type devRun struct {
	cmd *devCmd

	simulated, yours simulator.Webhook

	mu     sync.Mutex
	out    io.Writer
	read   int            // records of all topics
	seen   map[string]int // records of the simulated webhook, by event id
	change chan struct{}  // closed when read changes
}

func (d *devRun) configure(dir, broker string) (config.Config, error) {
	d.simulated, d.yours = newDevWebhook(), newDevWebhook()
	if d.cmd.Unsigned { // then the auth header is what proves who sends
		d.simulated.AuthHeaderKey, d.simulated.AuthHeaderValue = devAuthHeader, rand.Text()
		d.yours.AuthHeaderKey, d.yours.AuthHeaderValue = devAuthHeader, rand.Text()
	}
	d.change = make(chan struct{})
	cfg, _, err := config.Load(slices.Concat(devVariables(0, devSimulated, d.simulated), devVariables(1, devYours, d.yours), []string{
		"HTTP_ADDR=" + d.cmd.HTTP, "ADMIN_ADDR=" + d.cmd.Admin,
		"KAFKA_BROKERS=" + broker, "STORE_FILE=" + filepath.Join(dir, "gateway.db"), "SPOOL_DIR=" + filepath.Join(dir, "spool"), "TRUSTED_PROXIES=127.0.0.1", "KAFKA_TOPIC_PARTITIONS=3",
		"SIGNATURE_COVERS=" + d.cmd.Covers, "SIGNATURE_REQUIRED=" + strconv.FormatBool(!d.cmd.Unsigned),
	}))
	if err != nil {
		return cfg, usageError{err}
	}
	return cfg, nil
}

func newDevWebhook() simulator.Webhook {
	var id [16]byte
	var secret [32]byte
	rand.Read(id[:]) // never fails (crypto/rand)
	rand.Read(secret[:])
	return simulator.Webhook{ID: hex.EncodeToString(id[:]), Secret: base64.StdEncoding.EncodeToString(secret[:])}
}

func devVariables(n int, name string, w simulator.Webhook) []string {
	prefix := fmt.Sprintf("WEBHOOKS_%d_", n)
	return []string{
		prefix + "NAME=" + name, prefix + "ID=" + w.ID, prefix + "SECRETS=" + w.Secret,
		prefix + "AUTH_HEADER_KEY=" + w.AuthHeaderKey, prefix + "AUTH_HEADER_VALUE=" + w.AuthHeaderValue,
	}
}

func (d *devRun) run(ctx context.Context, cfg config.Config, log *slog.Logger) error {
	alive, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	gateway, err := open(ctx, cfg, log)
	if err != nil {
		return fmt.Errorf("start the gateway: %w", err)
	}
	doors, err := listenNear(cfg)
	if err != nil {
		gateway.close(ctx)
		return err
	}
	served := make(chan error, 1)
	go func() { served <- gateway.serve(alive, doors) }()
	d.greet(doors, cfg.KafkaBrokers[0])
	judged := d.sendAndJudge(ctx, alive, doors.public.Addr().String(), cfg)
	stop()
	return errors.Join(judged, <-served)
}

// listenNear takes any free port in place of one that is taken.
func listenNear(cfg config.Config) (listeners, error) {
	public, err := listenOr(cfg.HTTPAddr)
	if err != nil {
		return listeners{}, err
	}
	admin, err := listenOr(cfg.AdminAddr)
	if err != nil {
		public.Close()
		return listeners{}, err
	}
	return listeners{public: public, admin: admin}, nil
}

func listenOr(address string) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	if err == nil {
		return l, nil
	}
	host, _, splitErr := net.SplitHostPort(address)
	if splitErr != nil {
		return nil, err
	}
	return net.Listen("tcp", net.JoinHostPort(host, "0"))
}

func (d *devRun) greet(doors listeners, broker string) {
	fmt.Fprintf(d.out, `Gateway  http://%[1]s%[2]s/{name}, metrics at http://%[3]s/metrics
Kafka    %[4]s, in this process

Read a topic:   kcat -C -b %[4]s -t awareid.enrollment -f '%%k %%h %%s\n'
Post an event:  %[5]s http://%[1]s%[2]s/%[6]s

`, doors.public.Addr(), server.Path, doors.admin.Addr(), broker, d.sendCommand(), devYours)
}

// sendCommand is a shell's line for posting an event, without the URL.
func (d *devRun) sendCommand() string {
	words := []string{"AWAREID_WEBHOOK_SECRETS=" + d.yours.Secret}
	if d.cmd.Unsigned {
		words = append(words, "AWAREID_AUTH_HEADER_KEY="+d.yours.AuthHeaderKey, "AWAREID_AUTH_HEADER_VALUE="+d.yours.AuthHeaderValue)
	}
	words = append(words, os.Args[0], "send")
	if d.cmd.Unsigned {
		words = append(words, "--unsigned")
	}
	if d.cmd.Covers == config.CoversPlaintext {
		words = append(words, "--covers="+config.CoversPlaintext)
	}
	return strings.Join(words, " ")
}

// sendAndJudge lets the simulator send until it has enough or ctx ends, waits
// until the consumer has read everything, and compares the sums.
func (d *devRun) sendAndJudge(ctx, alive context.Context, address string, cfg config.Config) error {
	consumer, err := simulator.NewConsumer(cfg.KafkaBrokers[0], routes(cfg).Topics())
	if err != nil {
		return err
	}
	defer consumer.Close()
	reading, stopReading := context.WithCancel(alive)
	defer stopReading()
	consumed := make(chan error, 1)
	go func() { consumed <- consumer.Run(reading, d.record) }()

	tally, err := d.send(ctx, address)
	if err != nil {
		return err
	}
	if err := d.catchUp(alive, consumer); err != nil {
		return err
	}
	stopReading()
	if err := <-consumed; err != nil {
		return err
	}
	return d.judge(tally)
}

func (d *devRun) send(ctx context.Context, address string) (simulator.Tally, error) {
	platform, err := simulator.NewPlatform(simulator.PlatformOptions{
		Customer: "dev", ClientID: "dev", ClientSecret: "dev", APIKey: "dev", Scheme: d.cmd.scheme(),
	})
	if err != nil {
		return simulator.Tally{}, usageError{err}
	}
	hook := d.simulated
	hook.URL = "http://" + address + server.Path + "/" + devSimulated
	hook.Events = simulator.Types()
	hook.EncryptMessageBody, hook.AddSignatureHeader = d.cmd.Cipher != "none", !d.cmd.Unsigned
	if _, err := platform.Register(hook); err != nil {
		return simulator.Tally{}, err
	}
	generator, err := simulator.NewGenerator(simulator.GeneratorOptions{Seed: d.cmd.Seed, Size: d.cmd.Size})
	if err != nil {
		return simulator.Tally{}, usageError{err}
	}
	sender, err := simulator.NewSender(simulator.SenderOptions{
		Platform: platform, WebhookID: hook.ID, Generator: generator, Rates: d.cmd.rates(), Seed: d.cmd.Seed,
		PerSecond: d.cmd.Rate, Count: d.cmd.Count, OnAnswer: d.answer,
	})
	if err != nil {
		return simulator.Tally{}, usageError{err}
	}
	return sender.Run(ctx)
}

func (d *devRun) answer(a simulator.Answer) { d.print(answerLine(a)) }
