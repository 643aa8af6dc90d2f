package main

import (
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"
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
	}{version, "", runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				about.Revision = s.Value
			}
		}
	}
	if c.JSON {
		return json.NewEncoder(io.out).Encode(about)
	}
	_, err := fmt.Fprintf(io.out, "gateway %s %s %s %s\n", about.Version, about.Revision, about.Go, about.Platform)
	return err
}
