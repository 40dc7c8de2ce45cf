# `make picture`, `make serve`, `make cpp` and `make test` need make and Python only; they set up an environment of
# their own.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL := -m pip --disable-pip-version-check install --quiet $(PIP_FLAGS) --constraint constraints.txt
PIP := $(BIN)/python $(INSTALL)

# A file of tests is one process's, for what its tests share; tests/conftest.py puts long ones first.
PARALLEL := --numprocesses 2 --dist loadfile --no-loadscope-reorder

PROMPT ?= a red boat on the sea at sunset
SEED ?= 7
PICTURE ?= picture.png

# `make quick` takes the environment that has everything where there is one, else a light one.
QUICK := $(or $(wildcard $(VENV)/ready-to-develop),.venv-quick/ready)

.PHONY: picture serve cpp test quick check benchmark compat clean

picture: $(VENV)/ready-to-run
	$(BIN)/sdrt generate "$(PROMPT)" --seed $(SEED) --output $(PICTURE)

# A page and APIs on http://127.0.0.1:7860; for more, `.venv/bin/sdrt serve --help`.
serve: $(VENV)/ready-to-run
	$(BIN)/sdrt serve

# build/cpp/sdrt-host and libsdrt.so; fetches compiler, libraries and headers where they are missing.
cpp: $(VENV)/ready-to-run
	runtime/cpp/build.sh build/cpp $(BIN)/python

test: $(VENV)/ready-to-develop
	$(BIN)/python -m pytest $(PARALLEL)

# Under a minute on two cores, and without torch: the tests that need neither the exporter nor C++
# nor the server.
quick: $(QUICK)
	$(dir $(QUICK))bin/python -m pytest $(PARALLEL) -m "not export and not cpp and not serve and not slow"

check: $(VENV)/ready-to-develop
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

# Half an hour and 50 GB of disk: the record in benchmarks/results, its report, and the tables
# of README.md and docs/measure/results.md.
RESULTS := benchmarks/results
PEERS := diffusers,optimum-intel,openvino-genai,optimum-onnx,stable-diffusion.cpp:f16
SD15 := $(foreach precision,fp32 bf16 int8,models/sd15-$(precision))

benchmark: $(SD15)
	$(BIN)/sdrt bench $(SD15) --sampler ddim --threads 2 --repeat 1 --peers $(PEERS) --no-pictures \
		--output $(RESULTS)/sd15.json --html $(RESULTS)/sd15.html
	$(BIN)/python -m sdrt_bench.docs.readme_table $(RESULTS)/sd15.json README.md docs/measure/results.md
	$(BIN)/sdrt bench $(SD15) --sweep size --size 256,384,512 --precision bf16,int8 --backend openvino \
		--sampler ddim --threads 2 --repeat 1 --no-fidelity --no-probe --no-pictures \
		--output $(RESULTS)/sd15-sizes.json --html $(RESULTS)/sd15-sizes.html

# Opens sdrt's model folders in other tools and theirs in sdrt, and writes the tables of
# docs/measure/compatibility.md. Makes the tools' environments first, 4 GB.
compat: | $(VENV)/ready-to-develop
	$(BIN)/python -m sdrt_bench.docs.compatibility $(RESULTS)/exchange/record.json \
		docs/measure/compatibility.md

models/sd15-%: | $(VENV)/ready-to-develop
	$(BIN)/sdrt export --random sd15 $@ --precision $*

clean:
	rm -rf $(VENV) .venv-quick

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/ready-to-run: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) --editable '.[openvino,serve]'
	touch $@

# torch first and by its exact version: a range would take whatever build is newest.
$(VENV)/ready-to-develop: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) torch==2.13.0
	$(PIP) --editable '.[all,dev]'
	touch $@

.venv-quick/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv-quick
	.venv-quick/bin/python $(INSTALL) --editable '.[openvino,bench,quick]'
	touch $@
