package main

import (
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"strings"

	"awareid-gateway/internal/server"
)

// slowhttptestAttacks are by the program of that name, which others use to look for
// the same. Its connections come from one address, 127.0.0.1, so that the cap for
// one address holds most of them back.
func slowhttptestAttacks() []attack {
	return []attack{
		slowhttptest("slow headers", "-H", "-i", "2"),
		slowhttptest("slow bodies", "-B", "-i", "2", "-s", "900000"),
		slowhttptest("ranges", "-R"),
		slowhttptest("slow reading", "-X", "-k", "10", "-w", "2", "-y", "8", "-n", "5", "-z", "4"),
	}
}

func slowhttptest(what string, arguments ...string) attack {
	return attack{
		name: "slowhttptest: " + what, imitates: "slowhttptest " + strings.Join(arguments, " "), program: "slowhttptest",
		run: func(ctx context.Context, t target, r *report) { runSlowhttptest(ctx, t, r, arguments) },
	}
}

// runSlowhttptest gives it a little less time than there is, as it says only at its
// end how it went.
func runSlowhttptest(ctx context.Context, t target, r *report, arguments []string) {
	arguments = append(arguments, "-c", "2000", "-r", "500", "-t", "POST", "-p", "3", "-v", "1",
		"-l", fmt.Sprint(max(1, int(t.Length.Seconds())-2)), "-u", "http://"+t.Addr+server.Path)
	out, err := exec.CommandContext(ctx, "slowhttptest", arguments...).CombinedOutput()
	printed := colours.ReplaceAllString(string(out), "")
	if err != nil && ctx.Err() == nil {
		r.wrong("slowhttptest: %v: %s", err, printed[max(0, len(printed)-300):])
	}
	r.note("%s", lastState(printed))
}

var (
	colours            = regexp.MustCompile(`\x1b\[[0-9;]*[A-Za-z]`)
	stateOfConnections = regexp.MustCompile(`(pending|connected|error|closed):\s+(\d+)`)
)

// lastState is what slowhttptest said last of its connections.
func lastState(printed string) string {
	counts := map[string]string{}
	for _, m := range stateOfConnections.FindAllStringSubmatch(printed, -1) {
		counts[m[1]] = m[2]
	}
	if len(counts) == 0 {
		return "it said nothing of its connections"
	}
	return fmt.Sprintf("at the end %s connected, %s closed, %s pending, %s errors",
		counts["connected"], counts["closed"], counts["pending"], counts["error"])
}
