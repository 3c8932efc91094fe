# The project's commands. `make` lists them.
PROFILE ?= book
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
READY := .venv/ready
BROWSER := tests/browser/node_modules/ready
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

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

test: lint node_modules/ready $(BROWSER)  ## lint, types and all tests but the slow ones
	@echo "== tests (a quarter of an hour)"
	$(BIN)/python -m pytest -n auto

test-slow: $(READY) node_modules/ready $(BROWSER)  ## the tests that take minutes
	$(BIN)/python -m pytest -m slow

lint: $(READY)  ## ruff and mypy
	@echo "== lint and types"
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

lock: $(READY)  ## resolve what pyproject.toml asks for; UPGRADE=--upgrade for newer
	@echo "== locking what pyproject.toml asks for"
	$(BIN)/python tools/lock.py $(UPGRADE)

publish-check: $(READY) node_modules/ready  ## what must hold before publishing
	$(BIN)/gatebook publish --check --profile $(PROFILE)

bench: $(READY)  ## time and memory against torch.nn.LSTM (STORE=--store keeps them)
	$(BIN)/python bench/speed.py $(STORE)

gpu:  ## on a GPU: tests, ratios to cuDNN, copy at N = 500 (BUDGET=30 minutes)
	$(GPU_PYTHON) bench/gpu.py --budget $(BUDGET)

clean:  ## remove what was built; the environment stays
	rm -rf _build node_modules tests/browser/node_modules

# The lock holds every package, so nothing is resolved and nothing newer slips in. Only
# torch comes by version alone: see tools/lock.py.
$(READY): requirements.lock torch.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || \
	  { echo "error: $(PYTHON) is not Python 3.11; allowed: make PYTHON=/path/to/python3.11"; exit 1; }
	@echo "== installing into .venv (a few minutes, once; 3 GB, or 7 GB where torch brings CUDA)"
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP) --no-deps --require-hashes -r requirements.lock
	$(PIP) --constraint torch.lock torch
	$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

# MathJax, by version and hash from package-lock.json; never kept in git.
node_modules/ready: package-lock.json tools/vendor.py $(READY)
	@echo "== fetching MathJax, which the site serves itself"
	$(BIN)/python tools/vendor.py
	@touch $@

# Without a network the tests of the site are skipped, and the last line says so.
$(BROWSER): tests/browser/package-lock.json tools/browser.py $(READY)
	@echo "== looking for a browser; where there is none, fetching one (65 MB, once)"
	-$(BIN)/python tools/browser.py && touch $@
