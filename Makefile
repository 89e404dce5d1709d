# Each target works alone on a fresh clone with Python >= 3.10: it makes $(VENV) and installs into it.
PYTHON ?= python3
VENV ?= .venv
EXTRAS ?= dev
PIP_INSTALL ?=
PYTEST ?=
BIN = $(VENV)/bin
# Of `make torture`: what its points are drawn from, and how much of them is run.
SEED ?= 0
SHARE ?= 1

.PHONY: demo test torture lint bench clean

demo: $(VENV)/base.done
	$(BIN)/her2-ihc-40x demo

test: $(VENV)/dev.done
	$(BIN)/python -m pytest -n auto --dist worksteal --ignore=tests/torture $(PYTEST)

torture: $(VENV)/dev.done
	TORTURE=$(SHARE) TORTURE_SEED='$(SEED)' $(BIN)/python -m pytest -n auto --dist worksteal tests/torture
	TORTURE=$(SHARE) $(BIN)/python -m pytest -n auto --dist worksteal -m hypothesis --hypothesis-seed='$(SEED)'

lint: $(VENV)/dev.done
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/stubtest --mypy-config-file pyproject.toml --ignore-missing-stub her2_ihc_40x

bench: $(VENV)/dev.done
	$(BIN)/python -m pip install --quiet -e '.[bench]'
	$(BIN)/python benchmarks/load.py

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
	    { echo 'Python 3.10 or newer is needed: make PYTHON=/path/to/python ...' >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

$(VENV)/base.done: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet -e .
	touch $@

$(VENV)/dev.done: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet $(PIP_INSTALL) -e '.[$(EXTRAS)]'
	touch $@

clean:
	rm -rf .venv* dist her2-ihc-40x-demo her2-ihc-40x-demo-slides .mypy_cache .ruff_cache .hypothesis
