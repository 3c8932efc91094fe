# The project's commands. `make` lists them.
PROFILE ?= book
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
READY := .venv/ready

# With a GPU: any Python 3.11 or newer that has PyTorch and Triton; nothing is installed.
GPU_PYTHON ?= python3
BUDGET ?= 30

.DEFAULT_GOAL := help
.PHONY: help book test test-slow lint lock publish-check bench gpu clean

help:  ## list the commands
	@echo "usage: make COMMAND"
	@sed -n 's/^\([a-z-]*\):.*##/  \1:/p' Makefile

book: $(READY) node_modules/ready  ## run the pages (PROFILE=book) and render the site
	@echo "== running the pages at the $(PROFILE) profile and rendering the book"
	$(BIN)/gatebook build --profile $(PROFILE)

test: lint node_modules/ready  ## lint, types and all tests but the slow ones
	@echo "== tests (about eight minutes)"
	$(BIN)/python -m pytest
	@echo "== all passed; the site that was tested is in _build/html"

test-slow: $(READY) node_modules/ready  ## the tests that take minutes
	$(BIN)/python -m pytest -m slow

lint: $(READY)  ## ruff and mypy
	@echo "== lint and types"
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

lock: $(READY)  ## install what pyproject.toml adds; write lock and environment.yml
	@echo "== locking what pyproject.toml asks for"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[test]"
	$(BIN)/python tools/lock.py
	@touch $(READY)

publish-check: $(READY) node_modules/ready  ## what must hold before publishing
	$(BIN)/gatebook publish --check --profile $(PROFILE)

bench: $(READY)  ## time and memory against torch.nn.LSTM (STORE=--store keeps them)
	$(BIN)/python bench/speed.py $(STORE)

gpu:  ## on a GPU: tests, ratios to cuDNN, copy at N = 500 (BUDGET=30 minutes)
	$(GPU_PYTHON) bench/gpu.py --budget $(BUDGET)

clean:  ## remove what was built; the environment stays
	rm -rf _build node_modules

# The lock holds every package, so nothing is resolved and nothing newer slips in.
$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || \
	  { echo "error: $(PYTHON) is not Python 3.11; allowed: make PYTHON=/path/to/python3.11"; exit 1; }
	@echo "== installing into .venv (about 2 GB, a few minutes, once)"
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

# MathJax, by version and hash from package-lock.json; never kept in git.
node_modules/ready: package-lock.json tools/vendor.py $(READY)
	@echo "== fetching MathJax, which the site serves itself"
	$(BIN)/python tools/vendor.py
	@touch $@
