# The commands of this project. `make` alone lists them.
.DEFAULT_GOAL := help
.PHONY: help env run demo test check proof conformance bench soak lock clean

VENV := .venv
BIN  := $(VENV)/bin
PY   ?= python3
DATA ?= ./data

# Challenges are asked for at ports that an ordinary user may listen on, so that what `make run` prints can be pasted.
UNPRIVILEGED := CERTCTL_ACME__HTTP01_PORT=$${CERTCTL_ACME__HTTP01_PORT:-5002} CERTCTL_ACME__TLSALPN01_PORT=$${CERTCTL_ACME__TLSALPN01_PORT:-5001}

help:  ## this list
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

env: $(VENV)/ok  ## the virtual environment alone: .venv/bin/certctl

$(VENV)/ok: requirements-dev.lock pyproject.toml
	@$(PY) -m venv $(VENV) || { echo "first: apt-get install -y make python3-venv"; exit 1; }
	@echo "installing the locked dependencies (once; about half a minute)"
	@$(BIN)/pip install -q --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@$(BIN)/pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

run: env  ## a certificate authority in ./data, served on 127.0.0.1 until Ctrl-C
	@$(UNPRIVILEGED) $(BIN)/certctl serve --data $(DATA)

demo: env  ## a tour with real output: issue, gate, approve, collect, reject, revoke
	@$(BIN)/python -m tools.demo

check: env  ## lint, types, import rules, dead dependencies, docs
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/deptry .
	$(BIN)/codespell
	$(BIN)/sphinx-build -q -W -n -b html docs docs/_build/html

test: env  ## the whole suite (as root it installs the Debian packages it needs)
	@tools/install-test-packages
	$(BIN)/pytest

proof: env  ## the whole walk through the gate's states (longer than in test)
	CERTCTL_PROOF=full $(BIN)/pytest tests/policy/proof

conformance: env  ## real ACME clients against a live server, as a table (minutes)
	@tools/install-test-packages
	conformance/acme/run

bench: env  ## server CPU per ACME order against Debian's pebble (minutes; not part of test)
	$(BIN)/python -m bench.acme

soak: env  ## kill -9 fifty times under load: is anything lost? (many minutes; not part of test)
	$(BIN)/python -m bench.soak

lock:  ## resolve pyproject.toml into the two hashed lock files (needs uv)
	uv pip compile -q --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header --all-extras pyproject.toml -o requirements.lock
	uv pip compile -q --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header --all-extras --group dev --group docs -c requirements.lock pyproject.toml -o requirements-dev.lock

clean:  ## remove the environment and build output (never ./data)
	rm -rf $(VENV) docs/_build .mypy_cache .ruff_cache .pytest_cache
