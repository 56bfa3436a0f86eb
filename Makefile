# Everything happens in .venv, which `make setup` fills; each target sets up what it needs.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.set-up
DEMO_STAMP := $(VENV)/.set-up-demo

.PHONY: setup demo test slow coverage oracles check bench reliability docs clean

setup: $(STAMP)

# What the demo needs.
$(DEMO_STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11))" || { echo "make: Python 3.11 or newer is needed; run: make PYTHON=... $(MAKECMDGOALS)"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade pip
	# torch first and by its pin, so that nothing else pulls another build of it.
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[train,embedded,report]'
	@touch $(DEMO_STAMP)

# Everything else, for the tests and the documentation.
$(STAMP): $(DEMO_STAMP)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[train,embedded,excel,noise,report,scores,ray,search,app,onnx,batch,metrics,docs,dev]'
	@touch $(STAMP)

demo: $(DEMO_STAMP)
	$(BIN)/hf-synthlabels demo

# One process a core: each trains and serves on one thread.
test: $(STAMP)
	$(BIN)/python -m pytest -m "not slow" -n auto --dist worksteal

slow: $(STAMP)
	$(BIN)/python -m pytest -m slow

# The fast tests; fails below `fail_under` in pyproject.toml. build/coverage/index.html shows the lines that no test runs.
coverage: $(STAMP)
	$(BIN)/coverage run -m pytest -m "not slow"
	$(BIN)/coverage html --quiet --directory build/coverage --fail-under 0
	$(BIN)/coverage report

# Independent implementations beside the package: tests that compare with them are skipped elsewhere.
oracles: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[oracles]'

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/typos
	$(BIN)/mypy

# Peers are measured where they have been set up: .venv/bin/python -m benchmarks.annotation --setup-peers
# What is fast and how fast; benchmarks/README.md lists all that can be measured.
bench: $(STAMP)
	$(BIN)/python -m benchmarks.annotation
	$(BIN)/python -m benchmarks.judging
	$(BIN)/python -m benchmarks.training

reliability: $(STAMP)
	$(BIN)/python -m benchmarks.reliability

# The code blocks are run, the links followed, and the site is built into build/site.
docs: $(STAMP)
	$(BIN)/python -m pytest -m "not slow" tests/test_documents.py tests/test_site.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@echo "written: build/site/index.html; with the search: $(BIN)/mkdocs serve"

clean:
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache
