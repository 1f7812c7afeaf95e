# Every command that people and CI use. `make help` lists them.
# A fresh machine needs Python 3.11 or later, make and git; everything else is installed here.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Changes with the dependencies: the stamp is older then, and they are installed again.
READY := $(VENV)/.ready

# Three for two processors: a test waits a good part of its time for sessions, locks and timers.
WORKERS ?= $(shell echo $$(($$(getconf _NPROCESSORS_ONLN) * 3 / 2)))

SQLITE ?=
SIZE ?= 5MB
BENCH ?=

.DEFAULT_GOAL := help
.PHONY: help demo demo-down up down test test-docker test-deep lint format lock bench clean

help: ## List the commands
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(READY): requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed: make PYTHON=python3.12 …")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: $(READY) ## Migrate a database and answer an agent, without Docker (SQLITE=path, SIZE=5MB)
	@$(BIN)/python -m scripts.demo $(if $(SQLITE),--sqlite "$(SQLITE)") --size $(SIZE)

demo-down: $(READY) ## Stop what `make demo` left running; its data stays
	@$(BIN)/python -m database stop

up: ## Start the containers and wait until they are healthy
	docker compose up --build --detach --wait

down: ## Stop the containers; the data stays
	docker compose down

test: $(READY) ## Run the tests that need no Docker
	$(BIN)/python -m pytest -m "not docker and not deep" --numprocesses $(WORKERS) --dist worksteal

test-docker: $(READY) ## Run the tests of images and containers
	$(BIN)/python -m pytest -m docker tests/docker

test-deep: $(READY) ## Run the long tests, by hand
	$(BIN)/python -m pytest -m deep --numprocesses auto --dist worksteal

lint: $(READY) ## Check style, types, imports, SQL, Dockerfiles and shell scripts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/sqlfluff lint --disable-progress-bar sql backup migration mcp_server scripts tests benchmarks
	$(BIN)/hadolint docker/*/Dockerfile docker/offline/*/Dockerfile
	$(BIN)/shellcheck .ci/run .ci/docker-engine $$(git ls-files '*.sh')

format: $(READY) ## Format the Python files
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format --quiet .

lock: $(READY) ## Renew requirements/ from pyproject.toml
	@for pair in schema: migrate:migration mcp:mcp dev:dev bench:bench; do \
		extra=$${pair#*:}; \
		$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url \
			--no-annotate --no-header --python-version 3.11 $${extra:+--extra $$extra} \
			--output-file requirements/$${pair%%:*}.txt pyproject.toml; \
	done

bench: $(READY) ## Time the migration beside other tools (BENCH="--size 1GB --runs 3 --write")
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bench.txt
	$(BIN)/python -m benchmarks.migration $(BENCH)

clean: ## Remove the virtual environment and caches; no data
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
