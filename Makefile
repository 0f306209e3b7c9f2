# make install | demo | prefect | test | lint | docs: each works on a fresh machine, with nothing but Python 3.11 to 3.13 and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --no-cache-dir --disable-pip-version-check

.PHONY: install demo prefect test lint docs clean

install: $(VENV)/.installed
demo: install
	$(BIN)/python -m diffbio_flows.command.demo demo
prefect: install
	$(BIN)/python -m diffbio_flows.prefect_flows.here prefect-here
# Each of some hundred processes that tests start would compile the sources anew where bytecode must not be written.
test: $(VENV)/.tested
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder
lint: $(VENV)/.linted
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	@mkdir -p .links && ln -sfn ../io .links/diffbio_io && ln -sfn ../cluster .links/diffbio_cluster && ln -sfn ../flows .links/diffbio_flows
	$(BIN)/pyright --pythonpath $(BIN)/python
docs: $(VENV)/.linted
	$(BIN)/sphinx-build --quiet --fail-on-warning --keep-going -b html docs docs/_build/html
clean:
	rm -rf $(VENV) .links demo docs/_build

$(VENV)/.installed: pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; \
	(3, 11) <= v <= (3, 13) or sys.exit("diffbio needs Python 3.11 to 3.13, got %d.%d: run make PYTHON=python3.12" % v)'
	$(PYTHON) -m venv $(VENV)
	$(PIP) -e .
	$(BIN)/python -m diffbio_flows.shards.kernels
	touch $@
$(VENV)/.tested: $(VENV)/.installed
	$(PIP) -e '.[test]'
	touch $@
$(VENV)/.linted: $(VENV)/.tested
	$(PIP) -e '.[dev]'
	touch $@
