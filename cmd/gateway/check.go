package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"awareid-gateway/internal/config"
	"awareid-gateway/internal/dispatch"
	"awareid-gateway/internal/spool"
	"awareid-gateway/internal/store"
)

type checkCmd struct {
	JSON bool `name:"json" help:"Print a JSON line for each finding."`
}

// Help says what is contacted.
func (checkCmd) Help() string {
	return "Reads the same variables as serve, contacts Redis, Kafka and, where AWAREID_BASE_URL is set, the platform, changes nothing, and prints a line for each finding: ok, warn or FAIL. The exit code is 1 if anything failed, 2 if the configuration is wrong."
}

// report collects findings and prints them as they come.
type report struct {
	out    io.Writer
	json   bool
	failed bool
}

func (r *report) line(level, subject, text string) {
	r.failed = r.failed || level == "FAIL"
	if r.json {
		json.NewEncoder(r.out).Encode(map[string]string{"level": strings.ToLower(level), "subject": subject, "text": text})
		return
	}
	fmt.Fprintf(r.out, "%-4s  %-14s %s\n", level, subject, text)
}

func (r *report) ok(subject, text string)        { r.line("ok", subject, text) }
func (r *report) warn(subject, text string)      { r.line("warn", subject, text) }
func (r *report) fail(subject string, err error) { r.line("FAIL", subject, err.Error()) }

var errCheck = errors.New("not everything is as it should be")

// Run checks and prints.
func (c *checkCmd) Run(ctx context.Context, io streams) error {
	cfg, warnings, err := config.Load(io.environ)
	if err != nil {
		return usageError{err}
	}
	r := &report{out: io.out, json: c.JSON}
	for _, w := range warnings {
		r.warn("configuration", w)
	}
	if _, err := newWebhooks(cfg); err != nil {
		r.fail("configuration", err)
	} else {
		r.ok("configuration", fmt.Sprintf("complete, %d webhook(s)", len(cfg.Webhooks)))
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	checkSpool(cfg, r)
	checkHost(cfg, r)
	checkCertificates(cfg, r)
	checkStore(ctx, cfg, r)
	checkKafka(ctx, cfg, r)
	checkPlatform(ctx, cfg, r)
	checkPlatformServer(ctx, cfg, r)
	if r.failed {
		return errCheck
	}
	return nil
}

// checkSpool leaves a folder that is not there to the start to make.
func checkSpool(cfg config.Config, r *report) {
	dir := cfg.SpoolDir
	if dir == config.SpoolNone {
		return // the configuration's warnings say what that means
	}
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		r.ok("spool", "folder "+dir+", which the start will make")
		return
	}
	log, err := openSpool(cfg, slog.New(slog.DiscardHandler))
	switch {
	case errors.Is(err, spool.ErrLocked):
		r.warn("spool", err.Error()+": right if that is the gateway, but no second one can start")
	case err != nil:
		r.fail("spool", err)
	case log.Pending() > 0:
		r.warn("spool", fmt.Sprintf("folder %s, %d events wait in it for the next start", dir, log.Pending()))
		log.Close()
	default:
		r.ok("spool", "folder "+dir+", nothing waits in it")
		log.Close()
	}
}

func checkStore(ctx context.Context, cfg config.Config, r *report) {
	if cfg.RedisURL == "" {
		checkFile(cfg.StoreFile, r)
		return
	}
	checkRedis(ctx, cfg, r)
}

// checkFile leaves a file that is not there to the start to make.
func checkFile(path string, r *report) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Stat(filepath.Dir(path)); err != nil {
			r.fail("store", err)
			return
		}
		r.ok("store", "embedded file "+path+", which the start will make")
		return
	}
	file, err := store.OpenFile(path, time.Now)
	switch {
	case errors.Is(err, store.ErrLocked):
		r.warn("store", err.Error()+": right if that is the gateway, but no second one can start")
	case err != nil:
		r.fail("store", err)
	default:
		file.Close()
		r.ok("store", "embedded file "+path)
	}
}

func checkRedis(ctx context.Context, cfg config.Config, r *report) {
	redis, err := store.OpenRedis(cfg.RedisURL.Reveal(), redisNamespace)
	if err == nil {
		defer redis.Close()
		err = redis.Ping(ctx)
	}
	if err != nil {
		r.fail("store", err)
		return
	}
	versionText, err := redis.Version(ctx)
	if err != nil {
		r.warn("store", "Redis does not tell its version: "+err.Error())
	}
	if redisTooOld(versionText) {
		r.fail("store", fmt.Errorf("version %s of Redis is too old: %d.0 is the first that will do", versionText, store.OldestVersion))
		return
	}
	r.ok("store", "Redis "+versionText+" answers")
	policy, err := redis.EvictionPolicy(ctx)
	switch {
	case err != nil:
		r.warn("store", "Redis does not tell its eviction policy, which must be noeviction: "+err.Error())
	case policy != "noeviction":
		r.warn("store", "Redis' maxmemory-policy is "+policy+": it can forget events and let repeats through; set noeviction")
	}
	checkRedisCondition(ctx, redis, r)
}

// redisTooOld is false for a version that Redis does not tell.
func redisTooOld(version string) bool {
	major, _, _ := strings.Cut(version, ".")
	n, err := strconv.Atoi(major)
	return err == nil && n < store.OldestVersion
}

func checkKafka(ctx context.Context, cfg config.Config, r *report) {
	k, err := newKafka(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		r.fail("kafka", err)
		return
	}
	defer k.Close()
	var missing *dispatch.MissingTopicsError
	err = k.EnsureTopics(ctx, dispatch.TopicPlan{Create: false})
	switch {
	case errors.As(err, &missing) && cfg.KafkaCreateTopics:
		r.warn("kafka", "answers; topics that the start will create: "+strings.Join(missing.Topics, ", "))
		return
	case err != nil:
		r.fail("kafka", err)
		return
	}
	r.ok("kafka", fmt.Sprintf("answers; all %d topics are there", len(routes(cfg).Topics())))
	checkRights(ctx, k, r)
	checkTopics(ctx, cfg, k, r)
}

func checkRights(ctx context.Context, k *dispatch.Kafka, r *report) {
	missing, err := k.ReviewRights(ctx)
	switch {
	case err != nil:
		r.warn("rights", "cannot tell what this user may do: "+err.Error())
	case len(missing) == 0:
		r.ok("rights", "this user may do what the gateway needs on every topic")
	}
	for _, m := range missing {
		r.fail("rights", errors.New(m+"; allow it (kafka-acls.sh --add --allow-principal)"))
	}
}

func checkTopics(ctx context.Context, cfg config.Config, k *dispatch.Kafka, r *report) {
	findings, err := k.ReviewTopics(ctx, int(cfg.HTTPMaxBodyBytes))
	if err != nil {
		r.warn("topics", "their settings cannot be reviewed: "+err.Error())
		return
	}
	for _, f := range findings {
		if f.Loses {
			r.fail("topics", errors.New(f.String()))
		} else {
			r.warn("topics", f.String())
		}
	}
	if len(findings) == 0 {
		r.ok("topics", "their settings are as the gateway needs them")
	}
}
