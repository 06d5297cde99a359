# decklog: the commands of the README, CONTRIBUTING and CI. `make help` lists them.
# Needs python3 (3.11 or newer) with venv, and make. Everything else is made in .venv.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
CASES  ?=

.DEFAULT_GOAL := help
.PHONY: help demo test check fix bench bench-ask bench-gateway bench-web screenshots torture conformance lock clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 15

$(STAMP): requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "decklog needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) -V 2>&1). Try: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || \
	  { echo "cannot make $(VENV): on Debian and Ubuntu install python3-venv" >&2; exit 2; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: $(STAMP)  ## see it work: a sandbox API server, three users, the log, the answers (under 20 s)
	@$(BIN)/decklog demo

test: $(STAMP)  ## run the tests
	$(BIN)/python -m pytest $(ARGS)

check: $(STAMP)  ## formatting, lint, types, import contracts, docs in sync
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python docs/generate.py --check

fix: $(STAMP)  ## format, mend what lint can mend, regenerate the reference pages
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/python docs/generate.py

bench: $(STAMP)  ## measure; prints a table, writes benchmarks/results/*.json
	$(BIN)/python -m benchmarks.core $(ARGS)

bench-ask: $(STAMP)  ## questions put to a log of 1.7 GB against jq and grep (minutes; ARGS='--events 100000' for less)
	$(BIN)/python -m benchmarks.ask $(ARGS)

bench-gateway: $(STAMP)  ## the gateway's cost a request against nginx and HAProxy (minutes; Linux, two cores)
	$(BIN)/python -m benchmarks.gateway $(ARGS)

bench-web: $(STAMP)  ## the web pages over a store of a million events: first byte, weight, live tail (minutes)
	$(BIN)/python -m benchmarks.web $(ARGS)

screenshots: $(STAMP)  ## the pictures of docs/web.md and README.md, made by the tests of the pages (needs Chromium)
	DECKLOG_SCREENSHOTS=docs/screenshots $(BIN)/python -m pytest -q tests/web/test_in_browser.py -k fit

torture: $(STAMP)  ## the long fault tests (minutes); make test runs their short form
	$(BIN)/python -m pytest -m torture -o addopts= --strict-markers --import-mode=importlib -ra $(ARGS)

conformance: $(STAMP)  ## case tables and recorded corpora: make conformance CASES=DIR
	@$(BIN)/python -m conformance $(CASES)

lock: $(STAMP)  ## rewrite requirements/dev.txt: hashes, no index hosts (needs uv on PATH)
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --group dev pyproject.toml -o requirements/dev.txt

clean:  ## remove what make has made
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis dist build benchmarks/results
