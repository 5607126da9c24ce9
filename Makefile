# The entry points. The logic is in scripts/.
.DEFAULT_GOAL := help
.PHONY: help demo test test-long check bench build web images setup generate lint cluster-up cluster-down clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 16

demo: ## run a DAG on a real Kubernetes node and serve the UI (ONCE=1 ends with the run)
	@scripts/demo

test: ## run all tests; installs what they need (SUITE="…" runs some suites)
	@[ "$(CLUSTER)" = current ] || scripts/setup
	@scripts/test $(SUITE)

test-long: ## run all tests and those for releases: every crash point in every scene, soak tests (hours)
	@[ "$(CLUSTER)" = current ] || scripts/setup
	@TEST_LONG=true scripts/test $(SUITE)

check: ## run the tests that need neither root nor a cluster
	@scripts/check

bench: ## measure runs, schedules, the server and the UI, on a cluster of its own (FLAGS="-dags 10000" sets how many are due)
	@go test -v -run '^$$' -bench . -timeout 60m ./e2e/bench -args $(FLAGS)
	@scripts/test measure

build: ## build static binaries into bin/
	@scripts/build

web: ## build the UI into web/dist (needs Node)
	@scripts/build-web

images: ## build the images into bin/ (REGISTRY=host/path names, PUSH=1 pushes, ARCH=arm64 crosses, BUILDER=docker)
	@scripts/images

setup: ## install the missing Debian packages (root)
	@scripts/setup

generate: ## generate deep copies, clients, CustomResourceDefinitions and the page /docs
	@scripts/generate

lint: ## check format, house rules, vet, staticcheck
	@scripts/lint

cluster-up: ## start a node for development, in .cluster/
	@e2e/cluster/run up .cluster

cluster-down: ## stop it
	@e2e/cluster/run down .cluster

clean: ## remove what was built
	@rm -rf bin
