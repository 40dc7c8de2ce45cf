# `make picture` and `make test` need make and Python only; they set up an environment of their own.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt

PROMPT ?= a red boat on the sea at sunset
SEED ?= 7
PICTURE ?= picture.png

.PHONY: picture test check clean

picture: $(VENV)/ready-to-run
	$(BIN)/sdrt generate "$(PROMPT)" --seed $(SEED) --output $(PICTURE)

test: $(VENV)/ready-to-develop
	$(BIN)/python -m pytest

check: $(VENV)/ready-to-develop
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

clean:
	rm -rf $(VENV)

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/ready-to-run: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) --editable '.[openvino]'
	touch $@

# torch first and by its exact version: a range would take whatever build is newest.
$(VENV)/ready-to-develop: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) torch==2.13.0
	$(PIP) --editable '.[all,dev]'
	touch $@
