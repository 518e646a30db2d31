# Keyframe's everyday commands. `make help` lists them.
GO ?= go

.PHONY: help build run test

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## build the commands into bin/
	$(GO) build -o bin/ ./cmd/...

test: ## run every test
	$(GO) test ./...
