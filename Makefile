# `make demo` and `make test` set up everything they need in .venv; both need only Python 3.11+ and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.PHONY: demo test lint docs gallery clean

demo: $(VENV)/.demo
	$(BIN)/ndtools kernels sample
	@echo "The picture is figures/kernels.png"

test: $(VENV)/.dev lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2  # a thread each: two workers share two cores

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The pages of docs/, in docs/_build/html; warnings are errors.
docs: $(VENV)/.docs
	OMP_NUM_THREADS=1 $(BIN)/python -m sphinx -W --keep-going -q docs docs/_build/html
	@echo "The pages start at docs/_build/html/index.html"

# The pictures of the README, each with the JSON that made it: results of a reproduction, from the data sets in data/ where
# they are there, and else from built-in ones. Of photographs, only the built-in one is shown itself.
SHOW_IMAGES := fig1 fig4
SHOW_NUMBERS := fig2 fig3 fig5 fig7 fig10
REPRODUCE := $(BIN)/ndtools reproduce --data-dir data --output figures/reproduction --budget 1h
DRAW := $(BIN)/python docs/draw_gallery.py figures/reproduction
gallery: $(VENV)/.demo
	$(REPRODUCE) $(SHOW_IMAGES) --image sample-photo
	$(DRAW) $(SHOW_IMAGES)
	$(REPRODUCE) $(SHOW_NUMBERS)
	$(DRAW) $(SHOW_NUMBERS)
	$(BIN)/ndtools check --out figures/gallery --dpi 150
	$(BIN)/ndtools timing -j 1 --repeats 7 --out figures/gallery --dpi 150

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "ndtools needs Python 3.11 or newer; choose one with: make PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: $(BIN)/python pyproject.toml constraints.txt
	@echo "Installing ndtools and its dependencies into $(VENV) (once; about two minutes) ..."
	$(PIP) install -c constraints.txt -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.demo
	$(PIP) install -c constraints.txt -e '.[dev]'
	@touch $@

$(VENV)/.docs: $(VENV)/.demo
	$(PIP) install -c constraints.txt -e '.[docs]'
	@touch $@

clean:
	rm -rf $(VENV) docs/_build docs/gallery docs/api/generated .mypy_cache .pytest_cache .ruff_cache .hypothesis
