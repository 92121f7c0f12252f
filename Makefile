# make demo        a virtual environment, the package, and the embedded pair distilled: about three minutes on two cores,
#                  after the packages are installed
# make test        the same environment, then `make check` and the whole test suite
# make test-fast   without the slow tests: about 80 seconds on two cores
# make check       lint, formatting and types
# make fix         applies the corrections that ruff can make by itself
# make clean       removes the environment and runs/
#
# TORCH_INDEX=https://download.pytorch.org/whl/cpu   takes torch's CPU build, where pip would take the larger CUDA build

PYTHON ?= python3
VENV ?= .venv
TORCH_INDEX ?=
BIN = $(VENV)/bin
SOURCES = src tests benchmarks examples
PYTEST = $(BIN)/python -m pytest -n auto --dist worksteal

.PHONY: demo test test-fast check fix clean

demo: $(VENV)/installed
	$(BIN)/codedistill run

test: check
	$(PYTEST)

test-fast: $(VENV)/installed
	$(PYTEST) -m "not slow"

check: $(VENV)/installed
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/mypy

fix: $(VENV)/installed
	$(BIN)/ruff check --fix $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) torch
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) runs
