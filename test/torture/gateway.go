package main

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// gateway is one replica.
type gateway struct {
	*process
	public, admin string // URLs
	spool         *disk
}

// times are those of a gateway: short ones make for short rounds.
type times struct{ request, produce, lease time.Duration }

func timesOf(broker string) times {
	if broker == fake { // nothing there takes long
		return times{request: 800 * time.Millisecond, produce: time.Second, lease: 2500 * time.Millisecond}
	}
	return times{request: 1500 * time.Millisecond, produce: 2 * time.Second, lease: 5 * time.Second}
}

func (c *cluster) addGateways(b *bench, o options) (err error) {
	binary := o.gateway
	if binary == "" {
		if binary, err = buildGateway(b.dir); err != nil {
			return err
		}
	}
	for i := range gatewayCount {
		g, err := c.newGateway(b, i, binary, timesOf(o.broker))
		if err != nil {
			return err
		}
		c.gateways = append(c.gateways, g)
	}
	return nil
}

func (c *cluster) newGateway(b *bench, i int, binary string, t times) (*gateway, error) {
	spool, err := newDisk(b, fmt.Sprintf("spool-%d", i))
	if err != nil {
		return nil, err
	}
	public, admin := b.addr(), b.addr()
	g := &gateway{process: b.process(fmt.Sprintf("gateway-%d", i), binary, "serve"), spool: spool}
	g.public, g.admin = "http://"+public, "http://"+admin
	g.environ = []string{
		"PATH=" + os.Getenv("PATH"), "AWAREID_WEBHOOK_ID=" + webhookID, "AWAREID_WEBHOOK_SECRETS=" + c.secret,
		"HTTP_ADDR=" + public, "ADMIN_ADDR=" + admin, "HTTP_REQUEST_TIMEOUT=" + t.request.String(),
		"KAFKA_BROKERS=" + strings.Join(c.kafka.addrsFor(i), ","), "KAFKA_PRODUCE_TIMEOUT=" + t.produce.String(),
		"KAFKA_TOPIC_PARTITIONS=4", "REDIS_URL=redis://" + c.redis.addrFor(i) + "/0", "DEDUP_LEASE=" + t.lease.String(),
		"DEDUP_TTL=10m", // what a Redis that has lost its memory is restored from is no more than that
		"SPOOL_DIR=" + spool.path, fmt.Sprintf("SPOOL_MAX_BYTES=%d", spool.room()),
		"REPLICA_ID=" + g.name, "LOG_LEVEL=debug",
	}
	return g, nil
}

func buildGateway(dir string) (string, error) {
	binary := filepath.Join(dir, "gateway")
	if out, err := exec.Command("go", "build", "-o", binary, "./cmd/gateway").CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the gateway: %w\n%s", err, out)
	}
	return binary, nil
}

func (g *gateway) stop() {
	g.end(syscall.SIGKILL, patience)
	g.spool.unmount()
}

var adminClient = http.Client{Timeout: 5 * time.Second}

func (g *gateway) ready() error {
	answer, err := adminClient.Get(g.admin + "/readyz")
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: /readyz says %d", g.name, answer.StatusCode)
	}
	return nil
}

// metric is the value of a counter or gauge without labels.
func (g *gateway) metric(name string) (float64, error) {
	answer, err := adminClient.Get(g.admin + "/metrics")
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(answer.Body)
	if err != nil {
		return 0, fmt.Errorf("read the metrics of %s: %w", g.name, err)
	}
	family := families[name]
	if family == nil || len(family.Metric) == 0 {
		return 0, fmt.Errorf("%s has no metric %s", g.name, name)
	}
	m := family.Metric[0]
	return m.GetGauge().GetValue() + m.GetCounter().GetValue(), nil
}

// gatewayFaults end a gateway and start it again on the same spool. Whether that
// was full meanwhile is another matter.
func (c *cluster) gatewayFaults() []fault {
	one := func(s syscall.Signal) drawing {
		return func(d draw) harm {
			g := c.gateways[d.IntN(len(c.gateways))]
			return harm{targets: []string{g.name}, do: restart(s, d.length(), g.process)}
		}
	}
	full := fault{"fill disk", c.fillDisk}
	if !c.gateways[0].spool.small {
		full.draw = nil
	}
	return []fault{{"kill gateway", one(syscall.SIGKILL)}, {"terminate gateway", one(syscall.SIGTERM)}, full}
}

// fillDisk leaves the spool of one gateway or of all so much that a write may
// begin and not end.
func (c *cluster) fillDisk(d draw) harm {
	h, some := harm{}, []*gateway{}
	for _, i := range d.gateways() {
		some = append(some, c.gateways[i])
		h.targets = append(h.targets, c.gateways[i].name)
	}
	leave, length := d.Int64N(64<<10), d.length()
	h.do = func() (err error) {
		for _, g := range some {
			if err := g.spool.fill(leave); err != nil {
				return err
			}
		}
		time.Sleep(length)
		for _, g := range some {
			if err := g.spool.free(); err != nil {
				return err
			}
		}
		return nil
	}
	return h
}
