package main

import (
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
)

type versionCmd struct {
	JSON bool `name:"json" help:"Print JSON."`
}

// Run prints what this binary was made from.
func (c *versionCmd) Run(io streams) error {
	about := struct {
		Version  string `json:"version"`
		Revision string `json:"revision,omitempty"`
		Go       string `json:"go"`
		Platform string `json:"platform"`
	}{version, builtFrom(), runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH}
	if c.JSON {
		return json.NewEncoder(io.out).Encode(about)
	}
	words := strings.Fields(fmt.Sprintf("gateway %s %s %s %s", about.Version, about.Revision, about.Go, about.Platform))
	_, err := fmt.Fprintln(io.out, strings.Join(words, " "))
	return err
}

// builtFrom is the commit that the build names, or the one that Go found by
// itself; empty where neither is known.
func builtFrom() string {
	if revision != "" {
		return revision
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return s.Value
		}
	}
	return ""
}
