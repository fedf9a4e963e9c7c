# Three commands matter: `make run`, `make trade` and `make test`. Each starts from nothing.
.DEFAULT_GOAL := help
.PHONY: help run demo trade test test-long check format bench clean

PYTHON_BIN := .venv/bin/python
# Options of the server: make run ARGS="--port 10001 --view-only"
ARGS ?=
# How tests are run side by side; a file's tests stay together, since the examples of a page build on
# each other. `make test WORKERS=` runs them one after the other.
WORKERS ?= -n 2 --dist loadfile --no-loadscope-reorder

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

run: ## Start the server on http://localhost:10000 (ARGS="--help" lists its options)
	@scripts/setup.sh server
	@exec server/start_server.sh $(ARGS)

demo: ## Orders, trades and risk on a live desk (ARGS="--help" lists its options)
	@scripts/setup.sh server store
	@exec $(PYTHON_BIN) demo_bridge.py $(ARGS)

# Deephaven needs a JDK: where none can be had, everything else of the desk runs.
trade: ## A whole trading desk on paper: market, engine, API, page, Deephaven (ARGS="--help" lists options)
	@$(if $(findstring --no-deephaven,$(ARGS)),false,scripts/setup.sh server store trading) || scripts/setup.sh store trading
	@exec $(PYTHON_BIN) -m trading desk $(ARGS)

test: ## Run tests and all checks
	@scripts/setup.sh server client store trading dev
	@$(MAKE) --no-print-directory check
	$(PYTHON_BIN) -m pytest -m "not long" $(WORKERS)

test-long: ## Run everything, the nightly profile included (hours)
	@scripts/setup.sh server client store trading dev
	@$(MAKE) --no-print-directory check
	HYPOTHESIS_PROFILE=nightly $(PYTHON_BIN) -m pytest --timeout=14400 -o faulthandler_timeout=18000

check: ## Lint, format, types, import contracts and structure only
	$(PYTHON_BIN) -m ruff check .
	$(PYTHON_BIN) -m ruff format --check .
	$(PYTHON_BIN) -m mypy
	$(PYTHON_BIN) -c 'from importlinter.cli import lint_imports_command; lint_imports_command()'
	$(PYTHON_BIN) scripts/check_structure.py

format: ## Format the code
	$(PYTHON_BIN) -m ruff format .
	$(PYTHON_BIN) -m ruff check --fix .

bench: ## Run all benchmarks (minutes; on a quiet machine)
	@scripts/setup.sh server client store trading dev
	@set -e; for b in benchmarks/*.py; do echo "== $$b"; $(PYTHON_BIN) $$b; done

clean: ## Remove the virtual environment and caches
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist
