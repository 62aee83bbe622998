PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
PAGES := README.md docs/glossary.md kernels/hip_attention/config.py

LOWEST := .venv/lowest
TOUCH_TRANSFORMERS := tests/hip_attention/test_transformers.py tests/hip_attention/test_rope.py tests/hipcli/models \
  tests/hipcli/prompt tests/hipcli/engine/test_self_check.py tests/hipcli/engine/test_runtime.py

.PHONY: setup demo test compatibility check format lock

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch hatchling editables
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --no-build-isolation --editable '.[dev]'
	touch $@

# Reads this project's own pages in one prompt, with the embedded model.
demo: setup
	$(BIN)/hip summarize --dry-run $(PAGES)
	$(BIN)/hip summarize --verbose --length short --max-tokens 128 docs/reading.md
	$(BIN)/hip ask --verbose --max-tokens 96 -q "What is this tool for?" -q "What is a key block?" $(PAGES)

test: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q --numprocesses 2 --dist worksteal

# With the lowest transformers that is allowed, and the packages it wants; setup installs the newest.
compatibility: $(LOWEST)/.installed
	OMP_NUM_THREADS=1 PYTHONPATH=$(LOWEST) $(BIN)/python -m pytest -q --numprocesses 2 $(TOUCH_TRANSFORMERS)

$(LOWEST)/.installed: $(STAMP) lowest.txt
	rm -rf $(LOWEST)
	$(BIN)/python -m pip install --quiet --no-deps --target $(LOWEST) --requirement lowest.txt
	touch $@

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Pins every package that setup installs, for every platform. Needs uv (https://docs.astral.sh/uv).
lock:
	uv pip compile --quiet --universal --python-version 3.11 --extra dev --constraint constraints.in pyproject.toml \
	  --output-file constraints.txt --upgrade
	uv pip compile --quiet --universal --python-version 3.11 lowest.in --output-file lowest.txt --upgrade
