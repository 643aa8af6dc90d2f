package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

const brokerCount = 3

// realKafka is a cluster of Apache Kafka. A broker has one listener for those
// who are no part of the torture, the other brokers for one, and one for each
// gateway, which is advertised at the address of the link to it.
type realKafka struct {
	brokers []*broker
}

type broker struct {
	*process
	id               int
	addr, controller string
	ways             []*link // by gateway
}

func newRealKafka(b *bench) (*realKafka, error) {
	classPath, err := resolveKafka(b.dir)
	if err != nil {
		return nil, err
	}
	k := &realKafka{}
	for i := range brokerCount {
		name := fmt.Sprintf("kafka-%d", i)
		one := &broker{id: i, addr: b.addr(), controller: b.addr()}
		for g := range gatewayCount {
			one.ways = append(one.ways, newLink(b, name, g, b.addr()))
		}
		k.brokers = append(k.brokers, one)
	}
	java := []string{"java", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData",
		"-Djava.io.tmpdir=" + b.dir, "-Dlog4j2.level=INFO", "-cp", classPath}
	for _, one := range k.brokers {
		if err := k.prepare(b, one, java); err != nil {
			return nil, err
		}
	}
	return k, nil
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

// prepare formats the storage of a broker.
func (k *realKafka) prepare(b *bench, one *broker, java []string) error {
	name := fmt.Sprintf("kafka-%d", one.id)
	file := filepath.Join(b.dir, name+".properties")
	if err := os.WriteFile(file, []byte(k.properties(one, filepath.Join(b.dir, name))), 0o600); err != nil {
		return err
	}
	format := exec.Command(java[0], append(java[1:], "kafka.tools.StorageTool", "format",
		"--cluster-id", "awareid-gateway-tests0", "--config", file)...)
	if out, err := format.CombinedOutput(); err != nil {
		return fmt.Errorf("format the storage of %s: %w\n%s", name, err, out)
	}
	one.process = b.process(name, append(java[:len(java):len(java)], "kafka.Kafka", file)...)
	return nil
}

// properties make leaders move and replicas fall out within seconds, so that a
// round sees it.
func (k *realKafka) properties(b *broker, data string) string {
	listeners, advertised := []string{"BROKER://" + b.addr}, []string{"BROKER://" + b.addr}
	protocols := "BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT"
	for g, l := range b.ways {
		listeners = append(listeners, fmt.Sprintf("GATEWAY%d://%s", g, l.upstream))
		advertised = append(advertised, fmt.Sprintf("GATEWAY%d://%s", g, l.listen))
		protocols += fmt.Sprintf(",GATEWAY%d:PLAINTEXT", g)
	}
	var voters []string
	for _, one := range k.brokers {
		voters = append(voters, fmt.Sprintf("%d@%s", one.id, one.controller))
	}
	return fmt.Sprintf(`process.roles=broker,controller
node.id=%d
controller.quorum.voters=%s
listeners=%s,CONTROLLER://%s
advertised.listeners=%s
listener.security.protocol.map=%s
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
replica.lag.time.max.ms=3000
auto.leader.rebalance.enable=true
leader.imbalance.check.interval.seconds=10
`, b.id, strings.Join(voters, ","), strings.Join(listeners, ","), b.controller, strings.Join(advertised, ","), protocols, data)
}

func (k *realKafka) start() error {
	for _, b := range k.brokers {
		if err := b.start(); err != nil {
			return err
		}
	}
	for _, l := range k.links() {
		if err := l.open(); err != nil {
			return err
		}
	}
	return nil
}

func (k *realKafka) stop() {
	for _, l := range k.links() {
		l.cut()
	}
	for _, b := range k.brokers {
		b.end(syscall.SIGKILL, patience)
	}
}

func (k *realKafka) links() (all []*link) {
	for _, b := range k.brokers {
		all = append(all, b.ways...)
	}
	return all
}

func (k *realKafka) addrs() (all []string) {
	for _, b := range k.brokers {
		all = append(all, b.addr)
	}
	return all
}

func (k *realKafka) addrsFor(gateway int) (all []string) {
	for _, b := range k.brokers {
		all = append(all, b.ways[gateway].listen)
	}
	return all
}

func (k *realKafka) alive() (err error) {
	for _, b := range k.brokers {
		err = errors.Join(err, b.alive())
	}
	return err
}

func (k *realKafka) ready(ctx context.Context) error {
	return k.ask(func(admin *kadm.Client) error {
		meta, err := admin.Metadata(ctx)
		if err != nil {
			return err
		}
		if len(meta.Brokers) < brokerCount {
			return fmt.Errorf("%d of %d brokers are there", len(meta.Brokers), brokerCount)
		}
		for _, topic := range meta.Topics {
			for _, p := range topic.Partitions {
				if p.Leader < 0 || len(p.ISR) < len(p.Replicas) {
					return fmt.Errorf("%s/%d: leader %d, in sync %v", p.Topic, p.Partition, p.Leader, p.ISR)
				}
			}
		}
		return meta.Topics.Error()
	})
}

// ask asks as one who knows nothing from before.
func (k *realKafka) ask(use func(*kadm.Client) error) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(k.addrs()...))
	if err != nil {
		return err
	}
	defer client.Close()
	return use(kadm.NewClient(client))
}

// hostPort splits an address that is known to be one.
func hostPort(addr string) (host, port string) {
	host, port, _ = net.SplitHostPort(addr)
	return host, port
}
