# The two commands of the README, and what CI adds to them. Everything lives in .venv.
# The newest Python that runs and can make environments; PYTHON=... names another.
USABLE = $(1) -c 'import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' 2> /dev/null
PYTHON ?= $(shell for one in python3.14 python3.13 python3.12 python3.11 python3; do \
  $(call USABLE,$$one) && echo $$one && break; done)
VENV := .venv
BIN := $(VENV)/bin
EXTRAS := test,dev,docs

.PHONY: demo test slow browser cluster lint docs release constraints clean

$(VENV)/base: pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo 'No Python 3.11 to 3.14 is found, with venv: install one, or name it as in make PYTHON=/path/to/python'; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Python: $$($(BIN)/python --version) in $(VENV)"
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[studio]"
	@echo "dragflow is installed: $(CURDIR)/$(BIN)/dragflow"
	touch $@

$(VENV)/installed: $(VENV)/base
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[$(EXTRAS)]'
	touch $@

demo: $(VENV)/base  ## a real edit on a bundled picture
	$(BIN)/python examples/demo.py

test: $(VENV)/installed  ## the tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile

slow: $(VENV)/installed  ## the tests that take long
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto -m slow

browser: $(VENV)/installed  ## the tests of the studio, in a Chromium of the system
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m browser

cluster: $(VENV)/installed  ## the tests on a Ray cluster of this machine, which CI does not run
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m cluster tests/http
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m cluster tests/service

tools/node_modules: tools/package.json
	cd tools && npm install --silent --no-audit --no-fund --no-package-lock
	touch $@

lint: $(VENV)/installed tools/node_modules docs  ## style, types, floors, links of the documentation
	tools/node_modules/.bin/tsc -p tools
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports

docs: $(VENV)/installed  ## the documentation as a site, in site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

release: $(VENV)/installed  ## dist/: wheel and sdist, checked, installed in fresh environments and tried; notes, checksums
	rm -rf build/release dist
	$(PYTHON) -m venv build/release
	build/release/bin/python -m pip install --quiet build twine
	$(BIN)/python tests/releases/keep.py
	build/release/bin/python scripts/release.py notes
	build/release/bin/python -m build --outdir dist .
	build/release/bin/python -m twine check --strict dist/*.whl dist/*.tar.gz
	for one in $(CURDIR)/dist/*.whl $(CURDIR)/dist/*.tar.gz; do \
	  DRAGFLOW_RELEASE=$$one OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m slow tests/install || exit 1; done
	build/release/bin/python scripts/release.py checksums
	rm -rf build/release

constraints: PYTHON = python3.11
constraints:  ## pins the newest versions that pyproject.toml allows; run the tests afterwards
	rm -rf build/constraints
	$(PYTHON) -m venv build/constraints
	build/constraints/bin/pip install --quiet '.[$(EXTRAS)]'
	{ echo '# Made by `make constraints` on Python 3.11: what `make test` and `make demo` install.'; \
	  build/constraints/bin/pip freeze --exclude dragflow | sed 's/+[a-z0-9.]*$$//'; } > constraints.txt
	rm -rf build/constraints

clean:
	rm -rf $(VENV) demo site build tools/node_modules
