package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/caarlos0/env/v11"
)

// maxSecretFileBytes bounds what is read of a NAME_FILE, so that a device or a
// wrong path cannot fill the memory.
const maxSecretFileBytes = 64 << 10

// Load reads the configuration from environ, whose entries have the form
// NAME=value as os.Environ gives them.
//
// Each secret NAME may come from the file that NAME_FILE names instead, less
// one newline at its end. The strings are warnings, for the start log, and are
// returned with an error too. The error is one message that names every bad,
// missing and unknown variable, a line each; callers cannot do anything about
// it but show it. Neither holds a secret.
func Load(environ []string) (Config, []string, error) {
	bad := problems{}
	vars := env.ToMap(environ)
	warnings := checkNames(vars, bad)
	// env would let an empty value pass as present; dropped, it is not set.
	maps.DeleteFunc(vars, func(_, value string) bool { return value == "" })
	files := readSecretFiles(vars, bad)

	cfg := Config{Files: files}
	parse(&cfg, vars, bad)
	parse(&cfg.Platform, vars, bad)
	numbered := cfg.readWebhooks(vars, bad)
	if cfg.ReplicaID == "" {
		cfg.ReplicaID = hostname(bad)
	}
	cfg.validate(numbered, bad)

	warnings = append(warnings, cfg.warnings()...)
	if err := bad.err(); err != nil {
		return Config{}, warnings, err
	}
	return cfg, warnings, nil
}

func hostname(bad problems) string {
	name, err := os.Hostname()
	if err != nil {
		bad.add("REPLICA_ID", "not set, and the host has no name: %v", err)
	}
	return name
}

// readSecretFiles puts the contents of each secret's NAME_FILE under NAME, and
// returns the paths by NAME; nil for none.
func readSecretFiles(vars map[string]string, bad problems) (files map[string]string) {
	known := newCatalog()
	for _, fileVar := range slices.Sorted(maps.Keys(vars)) {
		name, isFile := strings.CutSuffix(fileVar, fileSuffix)
		if v, ok := known.find(name); !isFile || !ok || !v.Secret {
			continue
		}
		if vars[name] != "" {
			bad.add(name, "set beside %s; keep one of the two", fileVar)
			continue
		}
		value, err := readSecretFile(vars[fileVar])
		if err != nil {
			bad.add(name, "%s: %v", fileVar, err)
			continue
		}
		vars[name] = value
		if files == nil {
			files = map[string]string{}
		}
		files[name] = vars[fileVar]
	}
	return files
}

func readSecretFile(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { _ = file.Close() }()
	content, err := io.ReadAll(io.LimitReader(file, maxSecretFileBytes+1))
	if err != nil {
		return "", err
	}
	if len(content) > maxSecretFileBytes {
		return "", fmt.Errorf("%s holds more than %d bytes", path, maxSecretFileBytes)
	}
	defer clear(content)
	value := FileValue(content)
	if value == "" {
		return "", fmt.Errorf("%s is empty", path)
	}
	return value.Reveal(), nil
}

// FileValue is the value that the content of a NAME_FILE stands for: less one
// newline at its end. The result cannot be overwritten as content can.
func FileValue(content []byte) Secret {
	return Secret(bytes.TrimSuffix(bytes.TrimSuffix(content, []byte("\n")), []byte("\r")))
}

// parse fills a struct from vars. Only its own variables are handed to env, which
// would otherwise look for the fields of a slice's elements as well.
func parse[T any](cfg *T, vars map[string]string, bad problems) {
	own := map[string]string{}
	for _, v := range fieldVariables[T](tagSingle, "") {
		if value, ok := vars[v.Name]; ok {
			own[v.Name] = value
		}
	}
	opts := env.Options{Environment: own, FuncMap: parsers()}
	err := env.ParseWithOptions(cfg, opts)
	if err == nil {
		return
	}
	reportParseErrors(err, own, bad)
	// With defaults in place of what is unreadable, the checks that follow find
	// no consequences of it; what is missing stays missing, and is reported.
	maps.DeleteFunc(own, func(name, _ string) bool { return bad[name] != "" })
	_ = env.ParseWithOptions(cfg, opts)
}

func reportParseErrors(err error, vars map[string]string, bad problems) {
	var all env.AggregateError
	if !errors.As(err, &all) {
		return
	}
	known := newCatalog()
	for _, e := range all.Errors {
		var unset env.VarIsNotSetError
		var invalid env.ParseError
		switch {
		case errors.As(e, &unset):
			v, _ := known.find(unset.Key)
			bad.add(unset.Key, "required and not set (%s)", v.Description)
		case errors.As(e, &invalid):
			name := variableOf(invalid.Name)
			bad.add(name, "%s: %s", quote(vars[name]), explain(invalid))
		default: // a wrong struct tag, which no environment can bring about
			bad.add("environment", "%v", e)
		}
	}
}

// explain says what was wanted, in place of the library's words.
func explain(e env.ParseError) string {
	switch e.Type {
	case reflect.TypeFor[bool]():
		return "want true or false"
	case reflect.TypeFor[int](), reflect.TypeFor[int64]():
		return "want a whole number"
	case reflect.TypeFor[time.Duration]():
		return "want a duration such as 500ms, 10s or 168h"
	case reflect.TypeFor[slog.Level]():
		return "want debug, info, warn or error"
	}
	return e.Err.Error()
}
