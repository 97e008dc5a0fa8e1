# `make demo` and `make test` do all their own set-up on a machine that has python3, gcc and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test lint types unit benchmark clean

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: $(VENV)/installed
	$(BIN)/nif demo iris

test: lint types unit

lint: $(VENV)/installed
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: $(VENV)/installed
	$(BIN)/mypy

unit: $(VENV)/installed
	$(BIN)/pytest -n 2

# Other libraries, for comparison only, in an environment of their own.
.venv-peers/installed:
	$(PYTHON) -m venv .venv-peers
	.venv-peers/bin/pip install --quiet ennemi infomeasure
	touch $@

# Banknote and MNIST are read from the directory that NIF_DATA names, or from OpenML.
benchmark: $(VENV)/installed .venv-peers/installed
	$(BIN)/python benchmarks/estimators.py --peers .venv-peers/bin/python
	$(BIN)/python benchmarks/calibration.py
	$(BIN)/python benchmarks/scaling.py --figure docs/images/scaling.png
	$(BIN)/python benchmarks/stability.py
	$(BIN)/python benchmarks/attribution.py
	$(BIN)/python benchmarks/pruning.py

clean:
	rm -rf $(VENV) .venv-peers build dist src/*.egg-info
