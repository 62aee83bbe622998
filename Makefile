PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
PAGES := README.md kernels/README.md kernels/hip_attention/reference.py

.PHONY: setup demo test check format

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: setup  ## Read this project's own pages in one prompt, then summarize them and answer questions.
	$(BIN)/hip summarize --dry-run $(PAGES)
	$(BIN)/hip summarize --verbose --length short $(PAGES)
	$(BIN)/hip ask --verbose -q "What is this tool called?" -q "What does reference.py do?" $(PAGES)

test: setup
	$(BIN)/python -m pytest -q

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
