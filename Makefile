# make demo: a first image.  make test, make check: what CI runs.  make help: the rest.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
INSTALLED_DEV := $(VENV)/.installed-dev
LOWEST := .venv-lowest

.PHONY: help demo test gpu lowest survive check format clean

help:  ## this list
	@grep -E '^[a-z]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 10

demo: $(INSTALLED)  ## install into .venv, train a first model and show where its images lie
	$(BIN)/genimg-train

test: $(INSTALLED_DEV)  ## install into .venv where needed and run every test
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

gpu: $(INSTALLED_DEV)  ## run the tests that need an NVIDIA GPU
	$(BIN)/python -m pytest -m gpu tests/gpu

survive: $(INSTALLED_DEV)  ## kill runs at random moments, resume them and compare; KILLS=50 of them
	$(BIN)/python -m pytest -m long tests/survival
	$(BIN)/python -m tests.survival.long --kills $(or $(KILLS),50)

lowest: $(LOWEST)/.installed  ## every test with the oldest packages allowed, by Python 3.11; fetches GBs, so not in CI
	$(LOWEST)/bin/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

check: $(INSTALLED_DEV)  ## formatter, linter and types over src and tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright

format: $(INSTALLED_DEV)  ## format and repair what the linter can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:  ## remove the .venvs and what building left; runs in outputs/ stay
	rm -rf $(VENV) $(LOWEST) build dist src/*.egg-info

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed; name one: make PYTHON=python3.12 demo"; exit 2; }
	$(PYTHON) -m venv $(VENV)

$(INSTALLED): pyproject.toml setup.py | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(INSTALLED_DEV): pyproject.toml setup.py | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@ $(INSTALLED)

$(LOWEST)/.installed: pyproject.toml setup.py tests/lowest.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' \
		|| { echo "The oldest packages need Python 3.11; name one: make PYTHON=python3.11 lowest"; exit 2; }
	$(PYTHON) -m venv $(LOWEST)
	$(LOWEST)/bin/python -m pip install --quiet --constraint tests/lowest.txt --editable '.[dev]'
	@touch $@
