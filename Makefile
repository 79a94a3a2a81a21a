# The two commands of the README, and what CI adds to them. Everything lives in .venv.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test slow lint clean

$(VENV)/installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet -e '.[test,dev]'
	touch $@

demo: $(VENV)/installed  ## a real edit on a bundled picture
	$(BIN)/python examples/demo.py

test: $(VENV)/installed  ## the tests
	$(BIN)/python -m pytest

slow: $(VENV)/installed  ## the tests that take long
	$(BIN)/python -m pytest -m slow

lint: $(VENV)/installed  ## style, types, floors
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports

clean:
	rm -rf $(VENV) demo
