# make install | demo | test | lint: each works on a fresh machine, with nothing but Python 3.11 to 3.13 and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: install demo test lint clean

install: $(VENV)/.installed
demo: install
	$(BIN)/python -m diffbio_flows.demo demo
test: $(VENV)/.tested
	$(BIN)/python -m pytest
lint: $(VENV)/.linted
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/pyright
clean:
	rm -rf $(VENV) demo

$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --no-cache-dir -e .
	touch $@
$(VENV)/.tested: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --no-cache-dir -e '.[test]'
	touch $@
$(VENV)/.linted: $(VENV)/.tested
	$(BIN)/python -m pip install --quiet --no-cache-dir -e '.[dev]'
	touch $@
