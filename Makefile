# Needs Python 3.11 or newer and nothing else: everything is installed into .venv on first use.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo check test format clean
.DEFAULT_GOAL := check

demo: .venv/psage
	$(BIN)/python -m productive_sage demo

check: .venv/tools
	$(BIN)/ruff format --check src tests
	$(BIN)/ruff check src tests
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest

test: .venv/tools
	$(BIN)/python -m pytest

format: .venv/tools
	$(BIN)/ruff format src tests
	$(BIN)/ruff check --fix src tests

clean:
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache build dist

# The stamps make a second run work offline: pip is asked again only after a change of these files.
.venv/psage: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "psage needs Python 3.11 or newer")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	touch $@

.venv/tools: .venv/psage
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@
