# Each target needs nothing but Python 3.11 or newer: it makes its own environment in .venv first.
VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)

.PHONY: help demo test test-fast lint
help:
	@echo 'make demo       synthetic radiographs, training, validation, prediction, report (into handbones-demo)'
	@echo 'make test       all tests'
	@echo 'make test-fast  the tests that take seconds'
	@echo 'make lint       ruff and mypy'

demo: $(VENV)/installed
	$(BIN)/handbones demo

test: $(VENV)/installed
	$(BIN)/python -m pytest

test-fast: $(VENV)/installed
	$(BIN)/python -m pytest -m 'not slow'

lint: $(VENV)/installed
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

# Installed anew only when what is wanted has changed.
$(VENV)/installed: pyproject.toml constraints.txt
	@[ -n "$(PYTHON)" ] || { echo 'handbones needs Python 3.11 or newer: install it, or name it: make PYTHON=/path/to/python3.12 ...' >&2; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	@echo 'Installing into $(VENV); with torch that takes some minutes ...'
	@$(BIN)/python -m pip install --disable-pip-version-check --quiet -c constraints.txt -e '.[train,dev]'
	@touch $@
