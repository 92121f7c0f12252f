# make demo   a virtual environment, the package, and the embedded pair distilled: about three minutes on two cores,
#             after the packages are installed
# make test   the same environment and the whole test suite
#
# TORCH_INDEX=https://download.pytorch.org/whl/cpu   takes torch's CPU build, where pip would take the larger CUDA build

PYTHON ?= python3
VENV ?= .venv
TORCH_INDEX ?=
BIN = $(VENV)/bin

.PHONY: demo test check clean

demo: $(VENV)/installed
	$(BIN)/codedistill run

test: $(VENV)/installed
	$(BIN)/ruff check src tests benchmarks examples
	$(BIN)/ruff format --check src tests benchmarks examples
	$(BIN)/mypy
	$(BIN)/python -m pytest

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) torch
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) runs
