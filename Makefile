# Keyframe's everyday commands. `make help` lists them.

GO       ?= go
FUZZTIME ?= 30s
SOAKTIME ?= 10m
SIMTIME  ?= 10s
LINEARTIME ?= 1m
NODE_DIR  = netio/testdata/node

# A test that hangs ends with the stacks of all goroutines after so long, a package. On two
# cores the longest package takes 110 s, and some minutes with the race detector; Go's default of
# ten minutes would have each of several hanging packages wait that long.
TEST_TIMEOUT ?= 5m
RACE_TIMEOUT ?= 20m

# The benchmarks of every layer, and how bench-compare, compare and figures run.
SUITE     = ^Benchmark(Set|Get|Add|Rmv|Mixed)$$
BENCH    ?= SetOverwrite
BENCHARGS ?= -test.benchtime 0.3s
ROUNDS   ?= 10
RIVALS   ?=
SECTIONS ?=
COMPAREARGS ?=
VULNARGS ?=
PGO       = cmd/keyframe-server/default.pgo
PROFILE_LOAD ?= --keys 10 --depth 16
PROFILE_SECONDS ?= 10
FIGURES   = $(GO) -C bench/figures run .

# Modules of their own, so that a build of the server downloads neither what draws plots
# nor other stores; $(call nested,command) runs a command in each. The tools' versions
# are in .ci/go.mod (staticcheck) and bench/report/go.mod (benchstat).
# Redis's clients take minutes to compile, so the modules with them are not compiled for
# every system and detector.
OURS   = bench/figures bench/report engine/journal/crashtest
NESTED = $(OURS) bench/rivals netio/redisclients
nested = set -e; for module in $(NESTED); do echo "== $$module"; (cd $$module && $(1)); done
ours   = set -e; for module in $(OURS); do echo "== $$module"; (cd $$module && $(1)); done

.DEFAULT_GOAL := help
.PHONY: help build run test race invariants fuzz lint cross vuln bench bench-full bench-smoke bench-compare compare figures report profile pgo node-deps clean soak sim linear bench-engine bench-codec bench-rivals bench-eviction bench-floods bench-tls

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# The server is compiled for the profile beside its main package, which go build finds there.
build: ## build the commands into bin/
	$(GO) build -o bin/ ./cmd/...

run: build ## start the server on its defaults; DATA=dir keeps the store there
	./bin/keyframe-server $(if $(DATA),--data-dir $(DATA))

test: ## run every test; those of the codec also without its assembly, on a sample
	$(GO) test -timeout $(TEST_TIMEOUT) ./...
	$(GO) test -timeout $(TEST_TIMEOUT) -short -tags purego ./codec/...
	@$(call nested,$(GO) test -timeout $(TEST_TIMEOUT) ./...)

# With a profile everything is compiled once more for the command that has it. make test does that,
# so that what is tested is what make build makes; the others need not.
#
# What bench/figures runs is other processes, which the detector does not see into, and bench/report
# has one goroutine: they are left out, and with them compiling what draws plots once more. All the
# seeds of crashtest run in make test.
race: ## run every test under the race detector; those of the codec, which has one goroutine, with less work
	$(GO) test -timeout $(RACE_TIMEOUT) -pgo=off -race $$($(GO) list ./... | grep -v /codec)
	$(GO) test -timeout $(RACE_TIMEOUT) -race -short ./codec/...
	$(GO) -C engine/journal/crashtest test -timeout $(RACE_TIMEOUT) -race ./... -seeds 100

invariants: ## run the tests of what has invariant checks with those compiled in, and less work
	$(GO) test -timeout $(RACE_TIMEOUT) -pgo=off -short -tags invariants ./engine/... ./netio/... ./cmd/keyframe-server

fuzz: ## fuzz every target for FUZZTIME each
	@set -e; for pkg in $$($(GO) list ./...); do \
	  for target in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz' || true); do \
	    echo "== $$pkg $$target"; \
	    $(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) $$pkg; \
	  done; \
	done

lint: ## gofmt, go vet, staticcheck, a tidy go.mod, in every module
	@out=$$(gofmt -l .); if [ -n "$$out" ]; then echo "gofmt: $$out"; exit 1; fi
	$(GO) vet -pgo=off ./...
	$(GO) vet -pgo=off -tags invariants ./...
	$(GO) vet -tags purego ./codec/...
	@staticcheck=$$($(GO) -C .ci tool -n staticcheck); set -ex; $$staticcheck ./...; $(GO) mod tidy -diff; $(GO) -C .ci mod tidy -diff; \
	$(call nested,$(GO) vet ./... && $$staticcheck ./... && $(GO) mod tidy -diff)

cross: ## go vet for the other systems: what is built and tested there must compile
	@set -e; for target in linux/arm64 darwin/arm64 freebsd/amd64; do \
	  echo "== $$target"; \
	  export GOOS=$${target%/*} GOARCH=$${target#*/}; $(GO) vet -pgo=off ./...; \
	  $(call ours,$(GO) vet ./...); \
	done

vuln: ## look for known vulnerabilities in what is used (needs the network)
	$(GO) run golang.org/x/vuln/cmd/govulncheck@v1.9.0 $(VULNARGS) ./...
	@$(call nested,$(GO) run golang.org/x/vuln/cmd/govulncheck@v1.9.0 $(VULNARGS) ./...)

bench: build ## measure SET, GET, ADD, RMV and mixes through every layer (3 minutes on an idle machine)
	$(GO) test ./bench -run '^$$' -bench '$(SUITE)' -grid report -maxkeys 10000000 -benchtime 0.1s -count 5 -cpu 2 -timeout 60m

bench-full: ## the same for every combination, stores of 50 M keys included (a day)
	$(GO) test ./bench -run '^$$' -bench '$(SUITE)' -grid full -maxkeys 50000000 -benchtime 0.1s -cpu 2 -timeout 0

bench-smoke: ## run every benchmark once
	$(GO) test -timeout $(RACE_TIMEOUT) -pgo=off -run '^$$' -bench . -benchtime 1x ./...
	@$(call nested,$(GO) test -timeout $(RACE_TIMEOUT) -run '^$$' -bench . -benchtime 1x ./...)

bench-compare: ## benchmarks of OLD=revision and of this tree in turn, and benchstat (BENCH=, ROUNDS=, BENCHARGS=)
	@test -n "$(OLD)" || { echo "make bench-compare OLD=revision"; exit 1; }
	@set -e; dir=$$(mktemp -d); trap "git worktree remove --force $$dir/tree; rm -rf $$dir" EXIT; \
	git worktree add --quiet --detach $$dir/tree $(OLD); \
	(cd $$dir/tree && $(GO) test -c -o $$dir/old.test ./bench); $(GO) test -c -o $$dir/new.test ./bench; \
	for round in $$(seq $(ROUNDS)); do for rev in old new; do \
	  echo "round $$round of $(ROUNDS): $$rev"; \
	  (cd bench && $$dir/$$rev.test -test.run '^$$' -test.bench '$(BENCH)' -test.cpu 1 $(BENCHARGS)) >> $$dir/$$rev.txt; \
	done; done; \
	$(GO) -C bench/report tool benchstat $$dir/old.txt $$dir/new.txt

compare: ## Keyframe, the I/O limit and rivals in turn, into bench/results/local; RIVALS="redis=/path …" or what is in the PATH
	$(FIGURES) --force --rivals "$(RIVALS)" $(COMPAREARGS) compare

figures: ## measure all that BENCHMARKS.md shows (an hour); SECTIONS=compare,latency for some
	$(FIGURES) --out bench/results/figures --rivals "$(RIVALS)" $(SECTIONS)

report: ## write BENCHMARKS.md's tables and the plots from bench/results
	$(FIGURES) --report

# The CPU is profiled first, with nothing else on; then locks and waits, then the trace.
profile: build ## profiles and a trace of a server under load, into bench/profiles (PROFILE_LOAD=, PROFILE_SECONDS=)
	@set -e; dir=bench/profiles; admin=http://127.0.0.1:19871; third=$$(($(PROFILE_SECONDS) / 3 + 1)); rm -rf $$dir; mkdir -p $$dir; \
	get() { curl -sSf -o $$dir/$$1 "$$admin/debug/pprof/$$2"; }; \
	load="./bin/keyframe-benchmark --addr 127.0.0.1:19870 --quiet --warm-up 0 $(PROFILE_LOAD)"; \
	trap 'kill $$server $$client 2> /dev/null || true; wait' EXIT; \
	./bin/keyframe-server --listen 127.0.0.1:19870 --admin 19871 --loops 1 --log-level error & server=$$!; \
	curl -sf -o /dev/null --retry 20 --retry-delay 1 --retry-connrefused $$admin/readyz; \
	$$load --fill --requests 1 > /dev/null; \
	$$load --duration $$((3 * $(PROFILE_SECONDS) + 60))s & client=$$!; \
	get cpu.pprof "profile?seconds=$(PROFILE_SECONDS)"; \
	get mutex.pprof "mutex?seconds=$$third" & get block.pprof "block?seconds=$$third"; wait $$!; \
	get server.trace "trace?seconds=1"; \
	get heap.pprof "heap?gc=1"; get allocs.pprof allocs; \
	kill $$client; wait $$client || [ $$? = 130 ]; kill $$server; wait $$server; \
	for of in cpu= heap=inuse_space allocs=alloc_space mutex=delay block=delay; do \
	  echo "== $${of%=*}"; $(GO) tool pprof -top -nodecount 25 -sample_index "$${of#*=}" $$dir/$${of%=*}.pprof; \
	done > $$dir/top.txt; \
	sed '/^== heap/,$$d' $$dir/top.txt

# In memory and with a journal, all framings, reads and writes, and three sizes of a command get the
# same time.
pgo: build ## record the profile that the server is compiled for (two minutes; wants an idle machine)
	@set -e; admin=http://127.0.0.1:19871; dir=$$(mktemp -d); load="./bin/keyframe-benchmark --addr 127.0.0.1:19870 --quiet --warm-up 0"; \
	trap 'kill $$server $$get 2> /dev/null || true; wait; rm -rf $$dir' EXIT; \
	for data in "" "--data-dir $$dir/data"; do \
	  ./bin/keyframe-server $$data --listen 127.0.0.1:19870 --admin 19871 --loops 1 --log-level error & server=$$!; \
	  curl -sf -o /dev/null --retry 20 --retry-delay 1 --retry-connrefused $$admin/readyz; \
	  $$load --fill --requests 1 > /dev/null; \
	  curl -sSf -o $$dir/$$server.pprof "$$admin/debug/pprof/profile?seconds=50" & get=$$!; \
	  for framing in "" --websocket --resp; do for mix in set get; do for size in "1 --depth 64" "10 --depth 16" "100 --depth 4"; do \
	    $$load $$framing --mix $$mix --keys $$size --duration 2.8s; \
	  done; done; done; \
	  wait $$get; kill $$server; wait $$server; \
	done; \
	$(GO) tool pprof -proto $$dir/*.pprof > $$dir/both; cp $$dir/both $(PGO)

node-deps: ## install what the Node test needs
	npm ci --prefix $(NODE_DIR) --no-audit --no-fund

sim: ## whole servers in one goroutine, from a seed, for SIMTIME; -seed of a failure repeats it
	$(GO) test ./netio -run TestSimulation -sim $(SIMTIME) -timeout 0 -count 1 -v

linear: ## check for LINEARTIME that what clients are answered is linearizable
	$(GO) test ./netio -run TestLinearizable -linear $(LINEARTIME) -timeout 0 -count 1 -v

soak: ## churn a store for 3 minutes, put hostile clients beside good ones for SOAKTIME, try to break TLS, simulate for an hour
	$(GO) test ./engine -run TestSoak -soak 3m -timeout 10m -v
	$(GO) test ./engine -run 'TestRoom$$' -room -hang 90m -timeout 90m -v
	$(GO) test ./netio -run 'TestSoak|TestTestSSL|TestHalfHandshakes' -soak $(SOAKTIME) -timeout 0 -v
	$(GO) test ./engine -tags invariants -run TestSoak -soak 2m -timeout 10m
	$(MAKE) linear LINEARTIME=10m
	$(MAKE) fuzz
	$(GO) -C engine/journal/crashtest test -seeds 10000 -timeout 0
	$(GO) test ./cmd/keyframe-server -run TestKill -kills 100 -timeout 30m
	$(MAKE) sim SIMTIME=1h

bench-engine: ## measure the store up to 10 M keys; wants an idle machine
	$(GO) test ./bench -run '^$$' -bench 'SetOverwrite|GetHit|GetMiss|BaselineOverwrite' -benchtime 1s -count 5 -cpu 1 -timeout 60m -maxkeys 10000000
	$(GO) test ./bench -run '^$$' -bench SetParallel -benchtime 100000x -count 5 -cpu 1,2 -timeout 20m -maxkeys 10000000
	$(GO) test ./bench -run '^$$' -bench GetWhileCompacting -benchtime 2x -cpu 2
	$(GO) test ./bench -run '^$$' -bench 'SetInsert|Memory' -benchtime 1x -count 5 -timeout 60m -maxkeys 10000000

FLOODS    ?= ServerBesideFlood
FLOODARGS ?= -test.benchtime 500x

bench-floods: build ## a neighbour's time beside floods of every kind, server on core 0, clients on core 1 (FLOODS=, FLOODARGS=)
	@set -e; test=$$(mktemp); $(GO) test -c -o $$test ./bench; \
	taskset -c 0 ./bin/keyframe-server --loops 1 --listen 127.0.0.1:19872 --admin 19873 --log-level error > /dev/null & server=$$!; \
	trap 'kill $$server; wait $$server; rm -f $$test' EXIT; \
	curl -sf -o /dev/null --retry 20 --retry-delay 1 --retry-connrefused http://127.0.0.1:19873/readyz; \
	cd bench; taskset -c 1 $$test -test.run '^$$' -test.bench '$(FLOODS)' -addr 127.0.0.1:19872 $(FLOODARGS)

bench-tls: ## new connections over TLS, a neighbour beside a storm of them, memory of idle ones; servers on core 0, clients on core 1
	@set -e; test=$$(mktemp); $(GO) test -c -o $$test ./bench; trap 'rm -f $$test' EXIT; cd bench; \
	run() { taskset -c 1 $$test -test.run '^$$' -test.bench "$$1" -test.benchtime "$$2" -test.count 3 -server-cpu 0; }; \
	run TLSConnect 4000x; run BesideTLSStorm 3000x; run IdleConnections 40x

BENCH_CODEC = -run '^$$' -benchtime 50ms -count 5 -cpu 1 -timeout 20m

bench-codec: ## measure the codec, also without its assembly, beside other parsers; wants an idle machine
	$(GO) test ./bench $(BENCH_CODEC) -bench 'Decode|Respond|Client'
	$(GO) test -tags purego ./bench $(BENCH_CODEC) -bench 'Decode$$/.*/.*/impl=keyframe|DecodeGet|DecodeNested'
	cd bench/rivals && GOEXPERIMENT=jsonv2 $(GO) test $(BENCH_CODEC) -bench Decode

bench-rivals: ## the same on other maps and caches, a process for each
	cd bench/rivals && for s in 'engine$$/batch=32' 'engine$$/batch=1' map-unlocked sync.Map xsync otter freecache bigcache; do \
		$(GO) test -run '^$$' -bench "Overwrite$$/impl=$$s" -benchtime 1s -cpu 1 -timeout 60m -maxkeys 10000000 || exit 1; done

bench-eviction: ## hit ratios beside LRU, SIEVE, S3-FIFO, otter and the optimum; TRACES=/folder of public traces
	cd bench/rivals && TRACES=$(TRACES) $(GO) test ./eviction -run '^$$' -bench HitRatio -benchtime 1x -timeout 60m

clean: ## remove what was built
	rm -rf bin $(NODE_DIR)/node_modules
