# Needs Python 3.11 or newer and nothing else: everything is installed into .venv on first use.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

# The tests begin psage hundreds of times; none of these should compile it anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo check torture bench test format pictures golden clean
.DEFAULT_GOAL := check

demo: .venv/psage
	$(BIN)/python -m productive_sage demo

check: .venv/tools
	$(BIN)/ruff format --check src tests scripts
	$(BIN)/ruff check src tests scripts
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest

# What `make check` plays only samples of, kills and races at random, and fresh histories of payments.
torture: .venv/tools
	$(BIN)/python -m pytest -m torture

# What judges by the clock, on a machine that does nothing else.
bench: .venv/tools
	$(BIN)/python scripts/house.py
	$(BIN)/python scripts/startup.py
	$(BIN)/python scripts/reconcile.py
	$(BIN)/python scripts/batch.py
	$(BIN)/python scripts/batch.py --count 300 --mode "Productive's PDFs"
	$(BIN)/python -m pytest -m bench -n 0

test: .venv/tools
	$(BIN)/python -m pytest

format: .venv/tools
	$(BIN)/ruff format src tests scripts
	$(BIN)/ruff check --fix src tests scripts

# What the README and the tests show of the program, from the program itself; look at what changed.
pictures: .venv/tools
	$(BIN)/python scripts/screens.py pictures

golden: .venv/tools
	$(BIN)/python scripts/screens.py golden

clean:
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache build dist

# The stamps make a second run work offline: pip is asked again only after a change of these files.
.venv/psage: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "psage needs Python 3.11 or newer")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP) -e .
	touch $@

.venv/tools: .venv/psage
	$(PIP) -e '.[dev]'
	touch $@
