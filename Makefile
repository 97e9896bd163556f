# Needs GNU make, Python 3.11 or newer with its venv module, and a package index.

PYTHON ?= python3
VERSION := $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)
# One environment for each version of Python: testing on another one leaves yours alone.
VENV ?= .venv/$(VERSION)
RUN := $(VENV)/bin/python

.PHONY: help demo bench test test-all check pages docs docs-serve format clean
.DELETE_ON_ERROR:

help:  ## show this list
	@echo 'make TARGET [PYTHON=/path/to/python3.12] [ARGS="..."]'
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-10s %s\n", $$1, $$2 }' Makefile

demo: $(VENV)/demo.stamp  ## train a small classifier and draw its loss curve
	$(RUN) examples/01_quickstart.py $(ARGS)

bench: $(VENV)/bench.stamp  ## time the losses: ARGS="losses --shapes 256x128", or "--help"
	$(RUN) -m bench $(or $(ARGS),--help)

PYTEST := $(RUN) -m pytest -n auto --maxprocesses 4 --dist worksteal
PAGES := PYTHONPATH=.:tests $(RUN) docs/pages.py

# Half of the time goes into compiling; test-all runs the programs as users have them.
test: export XLA_FLAGS ?= --xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true
test: $(VENV)/test.stamp  ## run the tests and the docstring examples; ARGS="-k huber" runs some
	$(PYTEST) -m "not thorough" $(ARGS)

test-all: $(VENV)/test.stamp  ## also the tests that take minutes
	$(PYTEST) $(ARGS)

check: $(VENV)/check.stamp  ## lint, formatting, types, and whether the pages are stale
	$(RUN) -m ruff check
	$(RUN) -m ruff format --check
	$(RUN) -m mypy
	$(RUN) -m basedpyright --pythonpath $(RUN)
	$(PAGES) --check

pages: $(VENV)/test.stamp  ## table, gallery and safety pages of losses that changed; ARGS=--all
	$(PAGES) $(ARGS)

# Material says at every start that it has a successor.
docs docs-serve: export NO_MKDOCS_2_WARNING = 1
TUTORIALS := $(patsubst docs/%,build/%,$(wildcard docs/tutorials/*.ipynb))

docs: $(VENV)/docs.stamp $(TUTORIALS)  ## build the site in build/site; a broken link is an error
	$(RUN) -m mkdocs build $(ARGS)

docs-serve: $(VENV)/docs.stamp $(TUTORIALS)  ## show the site, and what changes in it
	$(RUN) -m mkdocs serve $(ARGS)

build/tutorials/%.ipynb: docs/tutorials/%.ipynb | $(VENV)/docs.stamp
	@mkdir -p $(@D)
	$(RUN) -m jupyter execute --output=$(abspath $@) $<

format: $(VENV)/check.stamp  ## format the code and mend what the linter can
	$(RUN) -m ruff check --fix
	$(RUN) -m ruff format

clean:  ## remove the environments, the caches and what was built
	rm -rf .venv .hypothesis .mypy_cache .pytest_cache .ruff_cache build dist
	rm -f *.png examples/*.png
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp is an extra of pyproject.toml: installed once, and again when that file changes.
$(VENV)/%.stamp: pyproject.toml | $(VENV)/venv.done
	@echo "Installing lossjax[$*] into $(VENV): a minute or two ..."
	@$(RUN) -m pip install --quiet --no-input --disable-pip-version-check --editable '.[$*]'
	@touch $@

$(VENV)/venv.done:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "lossjax needs Python 3.11 or newer, and $(PYTHON) is $(or $(VERSION),not one that runs):" \
	    "choose another, as in 'make $(or $(MAKECMDGOALS),test) PYTHON=/path/to/python3.12'." >&2; \
	  exit 1; }
	@$(PYTHON) -m venv --clear $(VENV)
	@touch $@
