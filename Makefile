# Keyframe's everyday commands. `make help` lists them.

GO       ?= go
FUZZTIME ?= 30s
NODE_DIR  = netio/testdata/node

.DEFAULT_GOAL := help
.PHONY: help build run test race invariants fuzz lint vuln bench-smoke node-deps clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## build the commands into bin/
	$(GO) build -o bin/ ./cmd/...

run: build ## start the server on its defaults
	./bin/keyframe-server

test: ## run every test
	$(GO) test ./...

race: ## run every test under the race detector
	$(GO) test -race ./...

invariants: ## run every test with the invariant checks compiled in
	$(GO) test -tags invariants ./...

fuzz: ## fuzz every target for FUZZTIME each
	@set -e; for pkg in $$($(GO) list ./...); do \
	  for target in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz' || true); do \
	    echo "== $$pkg $$target"; \
	    $(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) $$pkg; \
	  done; \
	done

lint: ## gofmt, go vet, staticcheck, a tidy go.mod
	@out=$$(gofmt -l .); if [ -n "$$out" ]; then echo "gofmt: $$out"; exit 1; fi
	$(GO) vet ./...
	$(GO) vet -tags invariants ./...
	$(GO) tool staticcheck ./...
	$(GO) mod tidy -diff

vuln: ## look for known vulnerabilities in what is used (needs the network)
	$(GO) run golang.org/x/vuln/cmd/govulncheck@v1.1.4 ./...

bench-smoke: ## run every benchmark once
	$(GO) test -run '^$$' -bench . -benchtime 1x ./...

node-deps: ## install what the Node test needs
	npm ci --prefix $(NODE_DIR) --no-audit --no-fund

clean: ## remove what was built
	rm -rf bin $(NODE_DIR)/node_modules
