# What there is to do here; the logic is in scripts/.
.DEFAULT_GOAL := help
.PHONY: help demo test test-long check bench build setup generate lint cluster-up cluster-down clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 16

demo: ## watch a DAG run on a real Kubernetes node (ONCE=1: end with the run)
	@scripts/demo

test: ## everything: setup, lint, unit, store, controller, end-to-end (SUITE="…": some of it)
	@[ "$(CLUSTER)" = current ] || scripts/setup
	@scripts/test $(SUITE)

test-long: ## test, and what releases need: all crash points in all scenes, soaks (hours)
	@[ "$(CLUSTER)" = current ] || scripts/setup
	@TEST_LONG=true scripts/test $(SUITE)

check: ## the part of test that needs neither root nor a cluster
	@scripts/check

bench: ## measure, on a cluster of its own; not a part of test (FLAGS="-dags 10000": how much)
	@go test -run '^$$' -bench . -timeout 60m ./e2e/bench -args $(FLAGS)

build: ## static binaries in bin/
	@scripts/build

setup: ## install what is missing of Debian (root)
	@scripts/setup

generate: ## deep copies, clients, custom resource definitions
	@scripts/generate

lint: ## format, house rules, vet, staticcheck
	@scripts/lint

cluster-up: ## start a node to develop with, in .cluster/
	@e2e/cluster/run up .cluster

cluster-down: ## end it
	@e2e/cluster/run down .cluster

clean: ## remove what was built
	@rm -rf bin
