package main

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"time"

	"awareid-gateway/internal/server"
)

// slowhttptestAttacks are by the program of that name, which others use to look for
// the same. Its connections come from one address, 127.0.0.1, so that the cap for
// one address, 512, holds most of them back.
func slowhttptestAttacks() []attack {
	held, answered := strength{Connections: 400}, strength{Requests: 1000}
	return []attack{
		slowhttptest("slow headers", held, "-H", "-i", "2"),
		slowhttptest("slow bodies", held, "-B", "-i", "2", "-s", "900000"),
		slowhttptest("ranges", answered, "-R"),
		slowhttptest("slow reading", held, "-X", "-k", "10", "-w", "2", "-y", "8", "-n", "5", "-z", "4"),
	}
}

// slowhttptestTime lets all 2,000 connections begin, in 4 s, and HTTP_READ_TIMEOUT,
// 10 s, end them.
const slowhttptestTime = 16 * time.Second

func slowhttptest(what string, atLeast strength, arguments ...string) attack {
	return attack{
		name: "slowhttptest: " + what, imitates: "slowhttptest " + strings.Join(arguments, " "), program: "slowhttptest",
		run:     func(ctx context.Context, t target, r *report) { runSlowhttptest(ctx, t, r, arguments) },
		atLeast: atLeast, lasts: slowhttptestTime,
	}
}

// runSlowhttptest gives it a little less time than there is, so that it ends by
// itself. What it prints of its connections is not always of its end; the gateway
// counts them.
func runSlowhttptest(ctx context.Context, t target, r *report, arguments []string) {
	arguments = append(arguments, "-c", "2000", "-r", "500", "-t", "POST", "-p", "3", "-v", "1",
		"-l", fmt.Sprint(max(14, int(t.Length.Seconds())-2)), "-u", scheme(t.Certificate)+t.Addr+server.Path)
	out, err := exec.CommandContext(ctx, "slowhttptest", arguments...).CombinedOutput()
	if err != nil && ctx.Err() == nil {
		r.wrong("slowhttptest: %v: %s", err, out[max(0, len(out)-300):])
	}
}
