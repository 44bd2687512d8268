# make demo trains a first model. CI runs make check, make test and make test-slow. make help lists all targets.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
INSTALLED_DEV := $(VENV)/.installed-dev
LOWEST := .venv-lowest
# one file stays in one process, so that its fixtures are made once
PYTEST := -m pytest -n 2 --dist loadfile --no-loadscope-reorder

.PHONY: help demo test test-slow gpu lowest survive hostile docs check format clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 12

demo: $(INSTALLED)  ## install into .venv, train a first model and print where its images are
	$(BIN)/genimg-train

test: $(INSTALLED_DEV)  ## install into .venv if necessary and run the fast tests, in at most 10 minutes on two cores
	$(BIN)/python $(PYTEST) -m "not slow and not long and not gpu"

test-slow: $(INSTALLED_DEV)  ## run the tests that train, kill and resume complete runs
	$(BIN)/python $(PYTEST) -m "slow and not long and not gpu"

gpu: $(INSTALLED_DEV)  ## run the tests that need an NVIDIA GPU
	$(BIN)/python -m pytest -m gpu tests/gpu

survive: $(INSTALLED_DEV)  ## kill runs at random moments, resume them and compare the results; KILLS=50
	$(BIN)/python -m pytest -m long tests/survival
	$(BIN)/python -m tests.survival.long --kills $(or $(KILLS),50)

lowest: $(LOWEST)/.installed  ## run every test with the oldest allowed packages on Python 3.11; downloads several GB, so CI does not
	$(LOWEST)/bin/python $(PYTEST)

hostile: $(INSTALLED_DEV)  ## mutate checkpoints, runs, settings and images, and check that each is one message or works; CASES=3000
	$(BIN)/python -m tests.hostile.long --cases $(or $(CASES),3000)

docs: $(INSTALLED_DEV)  ## build the documentation with the API reference as a site, build/site/index.html; warnings are errors
	$(BIN)/python -m sphinx -q -W -c docs -d build/doctrees . build/site

check: $(INSTALLED_DEV)  ## run the formatter, the linter and the type checker
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright

format: $(INSTALLED_DEV)  ## format the code and apply the linter's fixes
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:  ## remove the virtual environments and build files; outputs/ is kept
	rm -rf $(VENV) $(LOWEST) build dist src/*.egg-info

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed; choose one: make PYTHON=python3.12 demo"; exit 2; }
	$(PYTHON) -m venv $(VENV)

$(INSTALLED): pyproject.toml setup.py | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(INSTALLED_DEV): pyproject.toml setup.py | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@ $(INSTALLED)

$(LOWEST)/.installed: pyproject.toml setup.py tests/lowest.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' \
		|| { echo "The oldest packages need Python 3.11; choose one: make PYTHON=python3.11 lowest"; exit 2; }
	$(PYTHON) -m venv $(LOWEST)
	$(LOWEST)/bin/python -m pip install --quiet --constraint tests/lowest.txt --editable '.[dev]'
	@touch $@
