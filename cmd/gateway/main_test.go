package main

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

// asProgram makes the test binary be the gateway itself, so that tests can
// start it as a process of its own: with main, its signals and its exit code.
const asProgram = "BE_THE_GATEWAY"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		return
	}
	goleak.VerifyTestMain(m, leftToItself()...)
}

// leftToItself lists the goroutines that may be there after the last test.
func leftToItself() []goleak.Option {
	return []goleak.Option{
		// fasthttp's clock for Date headers starts with the first server of a
		// process and has no end.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),
		// The cleaner of fasthttp's workers sleeps for 10 seconds at a time, and
		// sees that its pool has ended when it wakes.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"),
	}
}
