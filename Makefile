# The same few commands for everyone; `make` alone lists them.
#
# Everything runs in .venv, which is made when first needed and brought up to date when pyproject.toml changes.
# make PYTHON=python3.12 venv    chooses the interpreter (3.11 to 3.13)
# make WORKERS=0 test            runs the tests in one process, e.g. for a debugger
# make TESTS=tests/unit test     runs a part of them
# make test                      starts its own Postgres and Redis; CAIRN_TEST_POSTGRES_URL=URL and
#                                CAIRN_TEST_REDIS_URL=URL name others that it may write to
# make ARGS=--quick bench        measures small sizes; ARGS='-o json' prints every round
# make ARGS='--races 100000' races   with --store URL, or CAIRN_STORE_URL, on the store of your choice

PYTHON  ?= python3
WORKERS ?= auto
TESTS   ?=
ARGS    ?=

VENV  := .venv
BIN   := $(VENV)/bin
CORE  := $(VENV)/.installed
READY := $(VENV)/.dev-installed
BENCH := $(VENV)/.bench-installed
PIP   := $(BIN)/python -m pip --quiet --disable-pip-version-check --no-input

# Thousands of runners are started here: each would compile all of Cairn again where none may keep the result.
# An installed Cairn is compiled by pip, so that is also what there is to measure.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help venv demo test check bench bench-cluster bench-growth races format docs clean cluster-up cluster-down test-cluster

help: ## List these commands
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

venv: $(READY) ## Make .venv with Cairn in it, editable, and all development tools

demo: $(CORE) ## Run a real workflow, kill it halfway, watch it go on (a minute, no cluster)
	@$(BIN)/python examples/license-report/demo.py

test: check ## Everything a change must pass: check, then the unit, contract and crash tests
	@$(BIN)/python -m pytest -n $(WORKERS) --maxprocesses 4 $(TESTS)

check: $(READY) ## Format, lint, types, import walls, generated pages; changes nothing
	@$(BIN)/ruff format --check --quiet --output-format concise . || { echo "not formatted; run: make format" >&2; exit 1; }
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy
	@# No cache: it does not notice that an import leads to a module which has been added since.
	@$(BIN)/lint-imports --no-cache --no-logo
	@$(BIN)/python docs/generate.py --check
	@$(BIN)/python docs/generate_cli.py --check
	@$(BIN)/python docs/generate_crds.py --check
	@$(BIN)/python docs/generate_chart.py --check

test-cluster: $(READY) ## The tests on a real Kubernetes: yours (KUBECONFIG), or one that is started for them
	@$(BIN)/python -m tests.cluster.harness test $(or $(TESTS),tests/cluster)

cluster-up: $(CORE) ## Start that Kubernetes and keep it; says how to use it
	@$(BIN)/python -m tests.cluster.harness up

cluster-down: $(CORE) ## End it; nothing of it stays
	@$(BIN)/python -m tests.cluster.harness down

bench: $(BENCH) ## Measure Cairn, with LangGraph, DBOS and a plain INSERT beside it
	@$(BIN)/python -m bench $(ARGS)

bench-cluster: $(READY) ## Measure what people wait for on a cluster, and what the operator costs it
	@$(BIN)/python -m bench.cluster $(ARGS)

bench-growth: $(BENCH) ## Measure stores of a million checkpoints: reads, size, prunes beside a writer
	@$(BIN)/python -m bench.growth $(ARGS)

races: $(READY) ## Let real processes race for a store, and judge every answer
	@$(BIN)/python -m tests.races $(ARGS)

format: $(READY) ## Format the code and mend what the linter can mend
	@$(BIN)/ruff check --fix --quiet . ; $(BIN)/ruff format .

docs: $(READY) ## Write docs/reference, crds and the chart's values again from their sources
	@$(BIN)/python docs/generate.py
	@$(BIN)/python docs/generate_cli.py
	@$(BIN)/python docs/generate_crds.py
	@$(BIN)/python docs/generate_chart.py

clean: ## Remove caches and build products; keeps .venv and .cairn
	rm -rf dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -path ./$(VENV) -prune -o -name __pycache__ -type d -exec rm -rf {} +

# The demo needs no development tools, so it does not wait for them.
$(CORE): pyproject.toml
	@$(MAKE) --no-print-directory $(VENV)-usable
	@echo "installing Cairn into $(VENV) ..."
	@$(PIP) install --editable .
	@touch $@

$(READY): pyproject.toml
	@$(MAKE) --no-print-directory $(VENV)-usable
	@echo "installing Cairn and its development tools into $(VENV) ..."
	@$(PIP) install --editable '.[dev]'
	@touch $(CORE) $@

$(BENCH): $(READY)
	@$(PIP) install --editable '.[dev,bench]'
	@touch $@

# A folder without pip is what is left where python3-venv was missing: it is made again.
.PHONY: $(VENV)-usable
$(VENV)-usable:
	@$(BIN)/python -c 'import pip' 2>/dev/null || $(MAKE) --no-print-directory $(VENV)-fresh

.PHONY: $(VENV)-fresh
$(VENV)-fresh:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || { \
	  echo "Cairn needs Python 3.11, 3.12 or 3.13; choose one with: make PYTHON=python3.12 venv" >&2; exit 1; }
	@$(PYTHON) -m venv --clear $(VENV) || { \
	  echo "$(PYTHON) cannot make a virtual environment; on Debian and Ubuntu: apt-get install python3-venv" >&2; \
	  exit 1; }
