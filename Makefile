# Two commands do everything on a fresh machine: `make run` and `make test`. `make help` lists all.

SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
REQUIREMENTS := requirements/runtime.txt requirements/local.txt requirements/dev.txt

export PYTHONDONTWRITEBYTECODE := 1

.DEFAULT_GOAL := help
.PHONY: help setup run up down demo till infra test test-fast test-servers test-crash lint types imports schemas \
	requirements verify bench dead replay docs released format clean

help:  ## Show all targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  \033[1m%-13s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(READY): $(REQUIREMENTS)
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is missing: install Python 3.11 or newer"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed"; exit 1; }
	@echo "installing pinned packages into $(VENV) (about 30 s)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes \
		$(addprefix -r ,$(REQUIREMENTS))
	@touch $@

setup: $(READY)  ## Install everything into .venv
	@$(BIN)/python -m deploy.local.jars

run: $(READY)  ## Start the whole platform without Docker; Ctrl-C stops it
	@$(BIN)/python -m deploy.local.run

up: $(READY)  ## Start the whole platform in containers (needs Docker)
	@$(BIN)/python -m deploy.up

down:  ## Stop what `make up` started; its data stay
	@docker compose -f deploy/compose.yaml down

demo: $(READY)  ## Tell the story of disbursements and cash-outs against a running platform
	@$(BIN)/python -m deploy.local.demo

till: $(READY)  ## Stand at a till: redeem a code, or make till ARGS="--phone … --code … --amount …"
	@$(BIN)/python -m deploy.local.till $(ARGS)

infra: $(READY)  ## Start just Kafka and MongoDB, and print their URLs
	@$(BIN)/python -m deploy.local.infra

test: $(READY)  ## All checks and tests: lint, types, imports, unit … end to end, crash
	@$(BIN)/python -m deploy.local.jars
	@$(MAKE) --no-print-directory lint types imports released
	$(BIN)/python -m pytest -q --durations=15

test-fast: $(READY)  ## Tests that need no servers
	$(BIN)/python -m pytest -q tests/unit tests/contract tests/kit -m "not servers"

test-servers: $(READY)  ## Tests with real Kafka and MongoDB, without the crash test
	$(BIN)/python -m pytest -q tests/kit tests/integration tests/simulation tests/e2e

test-crash: $(READY)  ## Kill every service in the middle of 500 disbursements
	$(BIN)/python -m pytest -q tests/chaos

lint: $(READY)
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

types: $(READY)
	@$(BIN)/mypy contracts services deploy tests/support

imports: $(READY)
	@$(BIN)/lint-imports

released: $(READY)  ## Compare schemas and samples with what was released
	@$(BIN)/python -m contracts.schemas --check
	@$(BIN)/python -m contracts.released

schemas: $(READY)  ## Generate contracts/schemas from the models
	@$(BIN)/python -m contracts.schemas

docs: $(READY)  ## Generate docs/operations.md and docs/api
	@$(BIN)/python -m deploy.operations
	@$(BIN)/python -m services.gateway.openapi

verify: $(READY)  ## Rebuild everything from the journal and compare
	@$(BIN)/python -m deploy.verify

bench: $(READY)  ## N disbursements at R per second through HTTP to the callback (N=6000 R=100)
	@$(BIN)/python -m tests.bench.disbursements --count $(or $(N),6000) --rate $(or $(R),100)

dead: $(READY)  ## List dead letters
	@$(BIN)/python -m services._kit.dead_letters list

replay: $(READY)  ## Replay a dead letter: make replay TOPIC=… ID=…
	@$(BIN)/python -m services._kit.dead_letters replay --topic "$(TOPIC)" --id "$(ID)"

format: $(READY)  ## Format the code
	@$(BIN)/ruff check --fix -q . ; $(BIN)/ruff format -q .

requirements:  ## Compile requirements/*.txt from *.in (needs uv)
	@for name in runtime local dev; do \
	  uv pip compile -q --upgrade --universal --generate-hashes --python-version 3.11 --no-emit-index-url \
	    --custom-compile-command "make requirements" requirements/$$name.in -o requirements/$$name.txt || exit 1; \
	done

clean:  ## Remove caches and build results; .local (data) stays
	@rm -rf build .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
