# make run    watch it work, with nothing but Go
# make test   all tests that need nothing but Go
# make help   the rest

SHELL := /bin/bash
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
COUNT ?= 40
FUZZTIME ?= 10s
BENCH ?=
REVISION ?= $(shell git rev-parse HEAD 2>/dev/null)
# Nothing of the machine or the folder gets into the binary, so that anybody can build the
# same bytes from the same commit with the same Go.
GOFLAGS_BUILD := -trimpath -buildvcs=false -ldflags "-s -w -X main.version=$(VERSION) -X main.revision=$(REVISION)"

TOOL := go tool -modfile=tools/go.mod
# Left to eyes: errors of Close and of printing (G104), files that the operator names (G304);
# what a request could name is looked for by G7xx. Anything else is waived at its line.
GOSEC := $(TOOL) gosec -quiet -nosec-require-rules -nosec-require-justification \
  -exclude=G104,G304

# The race detector needs a C compiler. Without one the tests run without it.
RACE := $(shell command -v $$(go env CC) >/dev/null 2>&1 && echo -race)

# What would be on other machines than the gateway need not wait for it, where the system
# allows that.
AHEAD = $(shell chrt -r 1 true 2>/dev/null && echo chrt -r 1)

.PHONY: help run build test test-real torture torture-short abuse lint vulncheck fuzz fuzz-short bench bench-micro sbom reproducible docker clean

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

abuse: ## attack the gateway in many ways beside honest events, see docs/abuse.md
	@command -v slowhttptest >/dev/null || test $$(id -u) != 0 || { apt-get update -qq && apt-get install -qq -y --no-install-recommends slowhttptest; } >&2
	$(AHEAD) test/real.sh go run ./test/abuse
	$(AHEAD) test/real.sh go run ./test/abuse -tls -attacks '^forged'
	$(AHEAD) test/real.sh go run ./test/abuse -connections 12000 -attacks 'connections$$'

lint: ## formatting, vet, staticcheck, gosec, and whether the modules are what go.sum says
	@test -z "$$(gofmt -l .)" || { gofmt -l .; echo "run gofmt -w on these"; exit 1; }
	go vet ./...
	go vet -tags integration ./...
	go mod verify
	$(TOOL) staticcheck ./...
	$(TOOL) staticcheck -tags integration ./...
	$(GOSEC) ./cmd/... ./internal/...

vulncheck: ## known vulnerabilities in what is called; fails where their database cannot be reached
	test/vulncheck.sh

fuzz: ## each fuzz target for FUZZTIME
	@set -e; for file in $$(grep -rl --include='*_test.go' '^func Fuzz' .); do \
	  for target in $$(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\).*/\1/p' $$file); do \
	    echo "$$(dirname $$file) $$target"; \
	    go test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x $$(dirname $$file); \
	  done; \
	done

fuzz-short: ## each fuzz target for 1 s
	$(MAKE) fuzz FUZZTIME=1s

bench: ## what an event costs beside bare Fiber and the ciphers alone; BENCH=-quick, -full, -scale, -h
	BROKER_JIT=4 test/real.sh go run ./test/bench $(BENCH)

bench-micro: ## micro-benchmarks of every package, for benchstat
	go test -run '^$$' -bench . -benchmem ./internal/...

sbom: build ## bin/sbom.json, the modules and licences in bin/gateway as CycloneDX
	$(TOOL) cyclonedx-gomod bin -json -std -licenses -assert-licenses -noserial -notimestamp \
	  -version $(VERSION) -output bin/sbom.json bin/gateway

reproducible: ## build in two folders, the second time without a cache, and compare
	test/reproducible.sh

docker: ## the container image
	docker build --build-arg VERSION=$(VERSION) --build-arg REVISION=$(REVISION) -t awareid-gateway:$(VERSION) .

clean: ## remove what was built
	rm -rf bin
