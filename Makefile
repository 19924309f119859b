# Everything a checkout needs is python3 (3.11 or newer) and make; `make install` brings the rest.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# The first of these that is new enough; PYTHON=/path/to/python makes another choice.
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& echo "$$python" && break; done)
TESTS := tests/unit tests/charts tests/integration tests/conformance tests/fleet tests/chaos
# For `make chaos`: SEED repeats a run, MINUTES is how long each fault that is drawn goes on.
SEED ?=
MINUTES ?= 5

.PHONY: help install demo test chaos check lint types layers audit bench docs lock clean

help: ## list the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1\t/' | expand -t 12

install: $(INSTALLED) ## make .venv with all that is needed and the streamsampler command

$(INSTALLED): requirements.lock pyproject.toml
	@if [ -z "$(PYTHON)" ]; then \
		echo "streamsampler needs Python 3.11 or newer and python3 here is" \
			"$$(python3 --version 2>&1 || echo missing): install a newer one, or name it" \
			"with 'make PYTHON=/path/to/python3 install'." >&2; exit 2; fi
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "streamsampler needs Python 3.11 or newer and $(PYTHON) is not:" \
			"name another with 'make PYTHON=/path/to/python3 install'." >&2; exit 2; }
	@"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "$(PYTHON) cannot make virtual environments: install its venv module" \
			"(python3-venv on Debian and Ubuntu)." >&2; exit 2; }
	@test -x $(BIN)/python || "$(PYTHON)" -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		--require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		--no-deps --no-build-isolation --editable .
	@touch $@

demo: install ## the whole thing on an embedded broker, in under a minute
	@$(BIN)/streamsampler demo

test: install ## unit, integration and conformance tests, a fleet on a real Kafka, chaos
	$(BIN)/python -m pytest $(TESTS)

chaos: install ## faults on a real Kafka: make chaos SEED=… MINUTES=…
	STREAMSAMPLER_CHAOS_SEED=$(SEED) STREAMSAMPLER_CHAOS_MINUTES=$(MINUTES) \
		$(BIN)/python -m pytest tests/chaos

check: lint types layers ## lint, types and layers

lint: install ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install ## mypy --strict
	$(BIN)/mypy

layers: install ## which package may import which
	$(BIN)/lint-imports

audit: ## known vulnerabilities of what the image installs, as far as advisories can be had
	@"$(PYTHON)" .ci/audit.py

bench: install ## the numbers of benchmarks/README.md, measured here
	$(BIN)/python -m benchmarks

docs: install ## docs/metrics.md, made from the code
	$(BIN)/python -m tests.metrics_page

lock: ## choose the versions anew (needs uv)
	uv pip compile --universal --generate-hashes --no-emit-index-url --group dev \
		pyproject.toml -o requirements.lock
	uv pip compile --universal --generate-hashes --no-emit-index-url -c requirements.lock \
		pyproject.toml -o requirements-image.lock

clean: ## remove .venv and everything that was made
	rm -rf $(VENV) .cache .pytest_cache .mypy_cache .ruff_cache .import_linter_cache \
		.hypothesis dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
