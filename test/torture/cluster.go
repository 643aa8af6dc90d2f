package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	brokerCount  = 3
	gatewayCount = 2
	webhookID    = "0123456789abcdef0123456789abcdef"
	patience     = 90 * time.Second
)

// cluster is everything that is tortured.
type cluster struct {
	dir      string
	secret   string // of the webhook
	redis    *process
	brokers  [brokerCount]*process
	gateways [gatewayCount]*process

	redisAddr     string
	bootstrap     []string
	public, admin [gatewayCount]string // URLs
}

func newCluster(dir, gateway string) (*cluster, error) {
	c := &cluster{dir: dir, secret: newSecret()}
	if err := c.prepareRedis(); err != nil {
		return nil, err
	}
	if err := c.prepareKafka(); err != nil {
		return nil, err
	}
	return c, c.prepareGateways(gateway)
}

func newSecret() string {
	var b [32]byte
	rand.Read(b[:])
	return base64.StdEncoding.EncodeToString(b[:])
}

func (c *cluster) all() []*process {
	return append(append([]*process{c.redis}, c.brokers[:]...), c.gateways[:]...)
}

// start returns when everything is ready.
func (c *cluster) start() error {
	for _, p := range append([]*process{c.redis}, c.brokers[:]...) {
		if err := p.start(); err != nil {
			return err
		}
	}
	if err := await(patience, c.servicesReady); err != nil {
		return err
	}
	for _, p := range c.gateways {
		if err := p.start(); err != nil {
			return err
		}
	}
	return await(patience, c.ready)
}

// stop ends everything at once.
func (c *cluster) stop() {
	for _, p := range c.all() {
		p.end(syscall.SIGKILL, patience)
	}
}

// ready is nil when everything is up and every partition has all replicas.
func (c *cluster) ready() error {
	return errors.Join(c.servicesReady(), c.gatewaysReady(), c.replicated())
}

func (c *cluster) alive() error {
	for _, p := range c.all() {
		if err := p.alive(); err != nil {
			return fmt.Errorf("%w: %w", errHopeless, err)
		}
	}
	return nil
}

func (c *cluster) servicesReady() error {
	if err := c.alive(); err != nil {
		return err
	}
	client := redis.NewClient(&redis.Options{Addr: c.redisAddr})
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := client.Ping(ctx).Err(); err != nil {
		return fmt.Errorf("Redis: %w", err)
	}
	return c.kafka(func(admin *kadm.Client) error {
		brokers, err := admin.ListBrokers(ctx)
		if err != nil {
			return err
		}
		if len(brokers) < brokerCount {
			return fmt.Errorf("%d of %d brokers are there", len(brokers), brokerCount)
		}
		return nil
	})
}

func (c *cluster) kafka(use func(*kadm.Client) error) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(c.bootstrap...))
	if err != nil {
		return err
	}
	defer client.Close()
	return use(kadm.NewClient(client))
}

func (c *cluster) replicated() error {
	return c.kafka(func(admin *kadm.Client) error {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		topics, err := admin.ListTopics(ctx, topicNames...)
		if err != nil {
			return err
		}
		for _, topic := range topics {
			for _, p := range topic.Partitions {
				if p.Leader < 0 || len(p.ISR) < brokerCount {
					return fmt.Errorf("%s/%d: leader %d, in sync %v", topic.Topic, p.Partition, p.Leader, p.ISR)
				}
			}
		}
		return topics.Error()
	})
}

func (c *cluster) gatewaysReady() error {
	client := http.Client{Timeout: 5 * time.Second}
	for i, url := range c.admin {
		answer, err := client.Get(url + "/readyz")
		if err != nil {
			return err
		}
		answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			return fmt.Errorf("gateway %d: /readyz says %d", i, answer.StatusCode)
		}
	}
	return nil
}

func (c *cluster) process(name string, command ...string) *process {
	return &process{name: name, command: command, logFile: filepath.Join(c.dir, name+".log")}
}

func (c *cluster) folder(name string) (string, error) {
	path := filepath.Join(c.dir, name)
	return path, os.MkdirAll(path, 0o700)
}

func (c *cluster) prepareRedis() error {
	port := freePorts(1)
	data, err := c.folder("redis")
	c.redisAddr = fmt.Sprintf("127.0.0.1:%d", port)
	c.redis = c.process("redis", "redis-server", "--bind", "127.0.0.1", "--port", fmt.Sprint(port),
		"--dir", data, "--save", "", "--appendonly", "yes", "--appendfsync", "always", "--maxmemory-policy", "noeviction")
	return err
}

func (c *cluster) prepareKafka() error {
	classPath, err := resolveKafka(c.dir)
	if err != nil {
		return err
	}
	first := freePorts(2 * brokerCount)
	var voters []string
	for i := range brokerCount {
		c.bootstrap = append(c.bootstrap, fmt.Sprintf("127.0.0.1:%d", first+2*i))
		voters = append(voters, fmt.Sprintf("%d@127.0.0.1:%d", i, first+2*i+1))
	}
	java := []string{"java", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData",
		"-Djava.io.tmpdir=" + c.dir, "-Dlog4j2.level=INFO", "-cp", classPath}
	for i := range brokerCount {
		file := filepath.Join(c.dir, fmt.Sprintf("kafka-%d.properties", i))
		if err := os.WriteFile(file, []byte(c.brokerProperties(i, voters)), 0o600); err != nil {
			return err
		}
		format := exec.Command(java[0], append(java[1:], "kafka.tools.StorageTool", "format",
			"--cluster-id", "awareid-gateway-tests0", "--config", file)...)
		if out, err := format.CombinedOutput(); err != nil {
			return fmt.Errorf("format the storage of broker %d: %w\n%s", i, err, out)
		}
		c.brokers[i] = c.process(fmt.Sprintf("kafka-%d", i), append(java[:len(java):len(java)], "kafka.Kafka", file)...)
	}
	return nil
}

// resolveKafka returns the class path, as test/real.sh finds it.
func resolveKafka(dir string) (string, error) {
	file := filepath.Join(dir, "classpath")
	maven := exec.Command("mvn", "-q", "-B", "-ntp", "-Dstyle.color=never", "-f", "test/kafka/pom.xml",
		"dependency:build-classpath", "-Dmdep.outputFile="+file)
	if out, err := maven.CombinedOutput(); err != nil {
		return "", fmt.Errorf("resolve Apache Kafka with Maven: %w\n%s", err, out)
	}
	classPath, err := os.ReadFile(file)
	return string(classPath), err
}

// brokerProperties make leaders move and replicas fall out within seconds, so
// that a round sees it.
func (c *cluster) brokerProperties(i int, voters []string) string {
	_, controller, _ := strings.Cut(voters[i], "@")
	return fmt.Sprintf(`process.roles=broker,controller
node.id=%d
controller.quorum.voters=%s
listeners=BROKER://%s,CONTROLLER://%s
listener.security.protocol.map=BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=BROKER
controller.listener.names=CONTROLLER
log.dirs=%s
auto.create.topics.enable=false
default.replication.factor=3
min.insync.replicas=2
offsets.topic.replication.factor=3
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=3
transaction.state.log.min.isr=2
transaction.state.log.num.partitions=1
log.cleaner.dedupe.buffer.size=4194304
broker.heartbeat.interval.ms=500
broker.session.timeout.ms=3000
replica.lag.time.max.ms=4000
auto.leader.rebalance.enable=true
leader.imbalance.check.interval.seconds=10
`, i, strings.Join(voters, ","), c.bootstrap[i], controller, filepath.Join(c.dir, fmt.Sprintf("kafka-%d", i)))
}

func (c *cluster) prepareGateways(binary string) error {
	if binary == "" {
		var err error
		if binary, err = buildGateway(c.dir); err != nil {
			return err
		}
	}
	first := freePorts(2 * gatewayCount)
	for i := range gatewayCount {
		spool, err := c.folder(fmt.Sprintf("spool-%d", i))
		if err != nil {
			return err
		}
		public, admin := fmt.Sprintf("127.0.0.1:%d", first+2*i), fmt.Sprintf("127.0.0.1:%d", first+2*i+1)
		c.public[i], c.admin[i] = "http://"+public, "http://"+admin
		p := c.process(fmt.Sprintf("gateway-%d", i), binary, "serve")
		p.environ = []string{
			"PATH=" + os.Getenv("PATH"), "AWAREID_WEBHOOK_ID=" + webhookID, "AWAREID_WEBHOOK_SECRETS=" + c.secret,
			"HTTP_ADDR=" + public, "ADMIN_ADDR=" + admin, "HTTP_REQUEST_TIMEOUT=1500ms",
			"KAFKA_BROKERS=" + strings.Join(c.bootstrap, ","), "KAFKA_PRODUCE_TIMEOUT=2s", "KAFKA_TOPIC_PARTITIONS=4",
			"REDIS_URL=redis://" + c.redisAddr + "/0", "DEDUP_LEASE=5s", "SPOOL_DIR=" + spool,
			fmt.Sprintf("REPLICA_ID=gateway-%d", i), "LOG_LEVEL=debug",
		}
		c.gateways[i] = p
	}
	return nil
}

func buildGateway(dir string) (string, error) {
	binary := filepath.Join(dir, "gateway")
	if out, err := exec.Command("go", "build", "-o", binary, "./cmd/gateway").CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the gateway: %w\n%s", err, out)
	}
	return binary, nil
}

// freePorts returns the first of n consecutive ports that nothing answers on,
// below those that systems take for outgoing connections: a program that is
// started again must find its port free.
func freePorts(n int) int {
	for {
		first := 20000 + mathrand.IntN(12000)
		if allFree(first, n) {
			return first
		}
	}
}

func allFree(first, n int) bool {
	for port := first; port < first+n; port++ {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			return false
		}
		l.Close()
	}
	return true
}
