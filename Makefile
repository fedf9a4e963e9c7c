# Two commands matter: `make run` and `make test`. Both start from nothing.
.DEFAULT_GOAL := help
.PHONY: help run demo test test-long check format bench clean

PYTHON_BIN := .venv/bin/python
# Options of the server: make run ARGS="--port 10001 --view-only"
ARGS ?=

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

run: ## Start the server on http://localhost:10000 (ARGS="--help" lists its options)
	@scripts/setup.sh server
	@exec server/start_server.sh $(ARGS)

demo: ## Orders, trades and risk on a live desk (ARGS="--help" lists its options)
	@scripts/setup.sh server store
	@exec $(PYTHON_BIN) demo_bridge.py $(ARGS)

test: ## Run tests, lint, types and import contracts
	@scripts/setup.sh server client store trading dev
	@$(MAKE) --no-print-directory check
	$(PYTHON_BIN) -m pytest -m "not long"

test-long: ## Run everything, the nightly profile included (hours)
	@scripts/setup.sh server client store trading dev
	@$(MAKE) --no-print-directory check
	HYPOTHESIS_PROFILE=nightly $(PYTHON_BIN) -m pytest

check: ## Lint, format, types and import contracts only
	$(PYTHON_BIN) -m ruff check .
	$(PYTHON_BIN) -m ruff format --check .
	$(PYTHON_BIN) -m mypy
	.venv/bin/lint-imports

format: ## Format the code
	$(PYTHON_BIN) -m ruff format .
	$(PYTHON_BIN) -m ruff check --fix .

bench: ## Run all benchmarks (minutes; on a quiet machine)
	@scripts/setup.sh server client store trading dev
	@set -e; for b in benchmarks/*.py; do echo "== $$b"; $(PYTHON_BIN) $$b; done

clean: ## Remove the virtual environment and caches
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist
