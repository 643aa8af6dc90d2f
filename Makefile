# make run    watch it work, with nothing but Go
# make test   all tests that need nothing but Go
# make help   the rest

SHELL := /bin/bash
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
COUNT ?= 40
FUZZTIME ?= 10s
BENCH ?=
GOFLAGS_BUILD := -trimpath -ldflags "-s -w -X main.version=$(VERSION)"

# The race detector needs a C compiler. Without one the tests run without it.
RACE := $(shell command -v $$(go env CC) >/dev/null 2>&1 && echo -race)

.PHONY: help run build test test-real torture torture-short lint fuzz bench bench-micro docker clean

help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: build ## a simulated AwareID, the gateway and a Kafka broker on 127.0.0.1; COUNT=0 goes on until Ctrl-C
	./bin/gateway dev --count $(COUNT)

build: ## bin/gateway, one static binary
	CGO_ENABLED=0 go build $(GOFLAGS_BUILD) -o bin/gateway ./cmd/gateway

test: ## every test that needs nothing but Go
	$(if $(RACE),,@echo "no C compiler: running without the race detector")
	go test $(RACE) ./...

test-real: ## the same against a real Redis and a real Kafka, see test/README.md
	test/real.sh go test $(RACE) -count=1 -tags integration ./cmd/... ./internal/store/... ./internal/dispatch/...

torture: ## do harm to everything at random, and look whether a promise breaks; ROUNDS, EVENTS, SEED
	go run ./test/torture

torture-short: ## 20 short rounds on real brokers, and 20 on ones that answer as they are told
	go run ./test/torture -rounds 20 -events 300 -length 3s -seed 1
	go run ./test/torture -broker kfake -rounds 20 -events 300 -length 2s -seed 1

lint: ## formatting and vet
	@test -z "$$(gofmt -l .)" || { gofmt -l .; echo "run gofmt -w on these"; exit 1; }
	go vet ./...
	go vet -tags integration ./...

fuzz: ## each fuzz target for FUZZTIME
	@set -e; for file in $$(grep -rl --include='*_test.go' '^func Fuzz' .); do \
	  for target in $$(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\).*/\1/p' $$file); do \
	    echo "$$(dirname $$file) $$target"; \
	    go test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x $$(dirname $$file); \
	  done; \
	done

bench: ## what an event costs beside bare Fiber and the ciphers alone; BENCH=-quick, -full, -scale, -h
	BROKER_JIT=4 test/real.sh go run ./test/bench $(BENCH)

bench-micro: ## micro-benchmarks of every package, for benchstat
	go test -run '^$$' -bench . -benchmem ./internal/...

docker: ## the container image
	docker build --build-arg VERSION=$(VERSION) -t awareid-gateway:$(VERSION) .

clean: ## remove what was built
	rm -rf bin
