# Thin names for npm scripts, for hands that type `make`. Without make: npm run <the same word>.
.DEFAULT_GOAL := help
.PHONY: help up demo down status logs build test lint load bench bench-acceptance bench-peers bench-pipeline faults soak compose-up

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
up: ## Install, build and start everything; returns when it is ready. ARGS=--single-process
	@npm run --silent up -- $(ARGS)
demo: ## Send some thousand real requests through it, and show what was saved at which quality. ARGS="--requests 500"
	@npm run --silent demo -- $(ARGS)
down: ## End what `make up` has started; data stay
	@npm run --silent down -- $(ARGS)
status: ## Show what runs, and whether it can work
	@npm run --silent status -- $(ARGS)
logs: ## Show the logs. ARGS="gateway --follow"
	@npm run --silent logs -- $(ARGS)
build: ## Bundle every process and the typed client into dist/
	@node infra/setup.mjs && npm run --silent build && npm run --silent build:types
test: ## Run all tests against real servers on free ports
	@npm test --silent -- $(ARGS)
lint: ## Check types, lint rules, import direction, dead code
	@npm run --silent lint
load: ## Put load on what runs. ARGS=...
	@npm run --silent load -- $(ARGS)
bench: ## Measure the local tiers and what the cascade saves
	@npm run --silent bench -- $(ARGS)
bench-acceptance: ## Check every promise on 4,000 requests. ARGS="--kill --seed 7"
	@npm run --silent bench:acceptance -- $(ARGS)
bench-pipeline: ## Measure requests/s, latency and CPU at 1, 32 and 256 connections
	@npm run --silent bench:pipeline -- $(ARGS)
bench-peers: ## Compare with Portkey's gateway, a bare proxy and the bare hops. ARGS="--rounds 1 --delays 0"
	@npm run --silent bench:peers -- $(ARGS)
faults: ## Break the real system on purpose and check every promise. ARGS="--row F3 --seeds 5"
	@npm run --silent faults -- $(ARGS)
soak: ## Break it for hours, check after each period. HOURS=2 ARGS="--rate 200"
	@npm run --silent soak -- --hours $(HOURS) $(ARGS)
compose-up: ## The same with Docker
	@npm run --silent compose-up
