package dispatch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/segmentio/kafka-go"
)

// TopicPlan says how missing topics are created.
type TopicPlan struct {
	Create      bool
	BodyBytes   int // the largest body that a record must have room for
	Partitions  int // -1: the broker's default
	Replication int // -1: the broker's default
}

// MissingTopicsError lists topics that are not there and were not created.
type MissingTopicsError struct {
	Topics []string
	Err    error // why not; nil where it was not tried
}

func (e *MissingTopicsError) Error() string {
	list := strings.Join(e.Topics, ", ")
	if e.Err != nil {
		return fmt.Sprintf("topics are missing and could not be created: %s: %v", list, e.Err)
	}
	return "topics are missing: " + list + "; create them or set KAFKA_CREATE_TOPICS=true"
}

func (e *MissingTopicsError) Unwrap() error { return e.Err }

// EnsureTopics creates the topics that are missing where the plan and the
// broker allow it, and is a *MissingTopicsError where they do not.
func (k *Kafka) EnsureTopics(ctx context.Context, plan TopicPlan) error {
	missing, err := k.missingTopics(ctx)
	if err != nil || len(missing) == 0 {
		return err
	}
	if !plan.Create {
		return &MissingTopicsError{Topics: missing}
	}
	if err := k.createTopics(ctx, missing, plan); err != nil {
		return &MissingTopicsError{Topics: missing, Err: err}
	}
	return k.awaitTopics(ctx)
}

func (k *Kafka) missingTopics(ctx context.Context) ([]string, error) {
	k.transport.CloseIdleConnections() // see refresh: what is cached may be old
	meta, err := k.client.Metadata(ctx, &kafka.MetadataRequest{Topics: k.opts.Topics})
	if err != nil {
		return nil, fmt.Errorf("ask Kafka for its topics: %w", err)
	}
	var missing []string
	for _, topic := range meta.Topics {
		switch {
		case errors.Is(topic.Error, kafka.UnknownTopicOrPartition):
			missing = append(missing, topic.Name)
		case errors.Is(topic.Error, kafka.LeaderNotAvailable):
		case topic.Error != nil:
			return nil, fmt.Errorf("topic %s: %w", topic.Name, topic.Error)
		}
	}
	slices.Sort(missing)
	return missing, nil
}

func (k *Kafka) createTopics(ctx context.Context, names []string, plan TopicPlan) error {
	settings := []kafka.ConfigEntry{{ConfigName: cleanupPolicy, ConfigValue: "delete"}}
	if needed := plan.BodyBytes + recordOverhead; needed > defaultMaxBatchBytes {
		settings = append(settings, kafka.ConfigEntry{ConfigName: maxMessageBytes, ConfigValue: strconv.Itoa(needed)})
	}
	configs := make([]kafka.TopicConfig, len(names))
	for i, name := range names {
		configs[i] = kafka.TopicConfig{
			Topic: name, NumPartitions: plan.Partitions, ReplicationFactor: plan.Replication,
			ConfigEntries: settings,
		}
	}
	answer, err := k.client.CreateTopics(ctx, &kafka.CreateTopicsRequest{Topics: configs})
	if err != nil {
		return err
	}
	for _, err := range answer.Errors {
		// Another replica of the gateway may have been faster.
		if err != nil && !errors.Is(err, kafka.TopicAlreadyExists) {
			return err
		}
	}
	return nil
}

// awaitTopics waits until new topics are known to the broker that is asked,
// with a leader for every partition.
func (k *Kafka) awaitTopics(ctx context.Context) error {
	for {
		if err := k.look(ctx); err == nil {
			return nil
		} else if !pause(ctx, lastBackoff) {
			return fmt.Errorf("wait for the new topics: %w", err)
		}
		k.refresh()
	}
}

// Finding is a topic's setting that is not as the gateway needs it.
type Finding struct {
	Topic, Setting, Value, Want string
	Loses                       bool // with it, events cannot be kept or written
}

func (f Finding) String() string {
	return fmt.Sprintf("topic %s: %s is %s, wants %s", f.Topic, f.Setting, f.Value, f.Want)
}

// recordOverhead is what key, headers and batch can add to a body at most.
const recordOverhead = 8 << 10

// ReviewTopics compares the settings of the topics with what the gateway
// needs: room for a record of the largest body, records that are deleted by
// age and never by key, leaders that have every acknowledged record, and more
// than one replica that must have it. From then on batches fit the smallest
// limit of all topics.
func (k *Kafka) ReviewTopics(ctx context.Context, maxBodyBytes int) ([]Finding, error) {
	ctx, cancel := context.WithTimeout(ctx, k.opts.ProduceTimeout)
	defer cancel()
	answer, err := k.client.DescribeConfigs(ctx, &kafka.DescribeConfigsRequest{Resources: k.settingsOfTopics()})
	if err != nil {
		return nil, fmt.Errorf("ask Kafka for the topics' settings: %w", err)
	}
	replicated, err := k.replicatedTopics(ctx)
	if err != nil {
		return nil, err
	}
	var findings []Finding
	for _, resource := range answer.Resources {
		if resource.Error != nil {
			return nil, fmt.Errorf("ask Kafka for the settings of topic %s: %w", resource.ResourceName, resource.Error)
		}
		for _, entry := range resource.ConfigEntries {
			if entry.ConfigName == minInSync && !replicated[resource.ResourceName] {
				continue
			}
			if f, ok := k.review(entry, maxBodyBytes); !ok {
				f.Topic = resource.ResourceName
				findings = append(findings, f)
			}
		}
	}
	return findings, nil
}

// review judges one setting.
func (k *Kafka) review(entry kafka.DescribeConfigResponseConfigEntry, maxBodyBytes int) (Finding, bool) {
	f := Finding{Setting: entry.ConfigName, Value: entry.ConfigValue}
	switch entry.ConfigName {
	case maxMessageBytes:
		needed := int64(maxBodyBytes + recordOverhead)
		f.Want, f.Loses = fmt.Sprintf("at least %d", needed), true
		limit, err := strconv.ParseInt(entry.ConfigValue, 10, 64)
		if err == nil {
			k.maxBatchBytes.Store(min(limit, k.maxBatchBytes.Load()))
		}
		return f, err == nil && limit >= needed
	case cleanupPolicy:
		f.Want, f.Loses = "delete", true
	case minInSync:
		f.Want = "2 or more: with 1, an acknowledged record can be on one disk only"
		return f, entry.ConfigValue != "1"
	case uncleanElection:
		f.Want = "false"
	default:
		return f, true
	}
	return f, f.Value == f.Want
}

const (
	maxMessageBytes = "max.message.bytes"
	cleanupPolicy   = "cleanup.policy"
	uncleanElection = "unclean.leader.election.enable"
	minInSync       = "min.insync.replicas"
)

// replicatedTopics tells the topics whose partitions have more than one replica.
func (k *Kafka) replicatedTopics(ctx context.Context) (map[string]bool, error) {
	meta, err := k.client.Metadata(ctx, &kafka.MetadataRequest{Topics: k.opts.Topics})
	if err != nil {
		return nil, fmt.Errorf("ask Kafka for its topics: %w", err)
	}
	replicated := map[string]bool{}
	for _, topic := range meta.Topics {
		replicated[topic.Name] = len(topic.Partitions) > 0 && len(topic.Partitions[0].Replicas) > 1
	}
	return replicated, nil
}

func (k *Kafka) settingsOfTopics() []kafka.DescribeConfigRequestResource {
	resources := make([]kafka.DescribeConfigRequestResource, len(k.opts.Topics))
	for i, topic := range k.opts.Topics {
		resources[i] = kafka.DescribeConfigRequestResource{
			ResourceType: kafka.ResourceTypeTopic, ResourceName: topic,
			ConfigNames: []string{maxMessageBytes, cleanupPolicy, uncleanElection, minInSync},
		}
	}
	return resources
}
