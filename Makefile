# The two commands of README are `make demo` and `make test`; both set up what they need.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
INPUTS := pyproject.toml constraints.txt

.PHONY: demo test check mutations soak fuzz dev protos format recompile clean

demo: $(VENV)/.demo
	$(BIN)/python -m demo.run

test: $(VENV)/.dev $(VENV)/.browser $(VENV)/.crf
	$(BIN)/python -m pytest

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	PATH="$(CURDIR)/$(BIN):$$PATH" bash protos/check.sh

mutations: $(VENV)/.dev
	$(BIN)/python -m tests.mutations

soak: $(VENV)/.dev
	$(BIN)/python -m benchmarks.soak --minutes $(or $(MINUTES),5)

fuzz: $(VENV)/.dev
	$(BIN)/python -m tests.fuzz --minutes $(or $(MINUTES),10)

dev: $(VENV)/.dev

protos: $(VENV)/.dev
	PATH="$(CURDIR)/$(BIN):$$PATH" bash protos/generate.sh

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

recompile:
	find core -name '*.nb[ci]' -delete

clean: recompile
	rm -rf $(VENV) build dist demo-out .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "boxmask needs Python 3.11 or newer")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: $(BIN)/python $(INPUTS)
	$(PIP) --editable '.[demo]'
	touch $@

$(VENV)/.dev: $(BIN)/python $(INPUTS)
	$(PIP) --editable '.[dev]'
	touch $@ $(VENV)/.demo

# pydensecrf, which our DenseCRF is compared with, is built from source. A compiler is installed where that is
# possible; elsewhere its tests say why they are skipped.
$(VENV)/.crf: $(VENV)/.dev
	{ command -v g++ >/dev/null && test -e "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("include"))')/Python.h"; } \
	  || { test "$$(id -u)" = 0 && command -v apt-get >/dev/null && apt-get update -qq \
	  && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends g++ python3-dev >/dev/null; } \
	  || echo "no C++ compiler"
	$(PIP) --editable '.[crf]' || echo "pydensecrf cannot be built: what is compared with it will be skipped"
	touch $@

# The report is tested in a real browser. Debian's Chromium is installed where that is possible; elsewhere
# the test says why it is skipped.
$(VENV)/.browser: $(BIN)/python
	command -v chromium >/dev/null || { test "$$(id -u)" = 0 && command -v apt-get >/dev/null \
	  && apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends chromium >/dev/null; } \
	  || echo "no chromium: the browser test will be skipped"
	touch $@
