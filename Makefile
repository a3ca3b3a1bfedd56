# GNU make. Needs Python 3.11 or newer and nothing else; everything is installed into .venv in this folder.
# The one exception: as root on Debian, what the system lacks for it (python3-venv, and chromium for the browser tests).

PYTHON ?= python3
ASKWISE_WORKSPACE ?= askwise-workspace
ASKWISE_PORT ?= 8501
export ASKWISE_WORKSPACE ASKWISE_PORT

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
CORE := $(VENV)/.core-installed
TEST := $(VENV)/.test-installed
BENCH := $(VENV)/.bench-installed
LABEL_STUDIO := .venv-label-studio
LONG := slow or faults or browser

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help run test lint test-fast test-long browser bench screenshots reference wheel constraints clean

help: ## list what can be made
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | while IFS='|' read -r name text; do \
		printf '  make %-12s %s\n' "$$name" "$$text"; done

run: $(CORE) ## the demo in a browser: the digits project, ready to label
	@exec $(BIN)/askwise demo

test: lint test-fast test-long ## everything that must hold: lint, types, fast tests, then the long ones

lint: $(TEST) ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test-fast: $(TEST) ## only the tests that take seconds
	$(BIN)/python -m pytest -q --numprocesses auto --maxprocesses 4 --dist worksteal -m "not ($(LONG))"

test-long: browser $(LABEL_STUDIO)/.installed ## browser tests, fault injection, and whatever else takes its time
	$(BIN)/python -m pytest -q -m "$(LONG)"

# A browser already on the machine, else Debian's, else the one that Playwright brings. What is on the path has to start:
# some systems have a `chromium` that only tells how to install one.
browser: $(TEST)
	@works() { command -v "$$1" >/dev/null 2>&1 && "$$1" --version >/dev/null 2>&1; }; \
	if works chromium || works google-chrome; then exit 0; fi; \
	if command -v apt-get >/dev/null 2>&1 && [ "$$(id -u)" = 0 ]; then \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y chromium && works chromium && exit 0; \
		exec $(BIN)/playwright install --with-deps chromium; \
	fi; \
	exec $(BIN)/playwright install chromium

bench: browser $(BENCH) ## print the figures that the documentation states
	@set -e; for script in tests/benchmarks/bench_*.py; do name=$$(basename "$$script" .py); \
		echo "== $$name"; $(BIN)/python -m "tests.benchmarks.$$name"; done

screenshots: browser ## docs/images: each page, light and dark
	$(BIN)/python tests/browser/screenshots.py

reference: $(TEST) ## docs/reference.md: every command, setting, route and verb, as the code has them
	$(BIN)/python -m tests.reference

wheel: $(CORE) ## dist/askwise-*.whl
	$(PIP) wheel --quiet --no-deps --wheel-dir dist .

constraints: ## write constraints.txt anew, from the newest versions in an empty environment
	@set -e; fresh=$$(mktemp -d); trap 'rm -rf "$$fresh"' EXIT; \
	$(PYTHON) -m venv "$$fresh"; "$$fresh/bin/python" -m pip install --quiet '.[test,postgres,bench]'; \
	sed -n '/^#/p' constraints.txt > "$$fresh/list"; \
	"$$fresh/bin/python" -m pip freeze --exclude askwise | LC_ALL=C sort -f >> "$$fresh/list"; mv "$$fresh/list" constraints.txt

clean: ## remove .venv and what was built; a workspace is never touched
	rm -rf $(VENV) $(LABEL_STUDIO) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The interpreter is a prerequisite by its own date, so that a new Python on the system installs everything again.
$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Askwise needs Python 3.11 or newer; name one with: make PYTHON=/path/to/python3"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y python3-venv; } || \
		{ echo "This Python cannot make environments; install its venv module (Debian: python3-venv)."; exit 1; }
	$(PYTHON) -m venv --clear $(VENV) || { rm -rf $(VENV); exit 1; }

$(CORE): $(BIN)/python pyproject.toml constraints.txt
	$(PIP) install --quiet -c constraints.txt -e .
	@touch $@

$(TEST): $(BIN)/python pyproject.toml constraints.txt
	$(PIP) install --quiet -c constraints.txt -e '.[test]'
	@touch $(CORE) $@

$(BENCH): $(TEST)
	$(PIP) install --quiet -c constraints.txt -e '.[test,bench]'
	@touch $@

# Label Studio's own reader wants an older NumPy than ours, so it has an environment of its own. Where it cannot be
# installed its tests are skipped.
$(LABEL_STUDIO)/.installed: $(BIN)/python
	@$(PYTHON) -m venv --clear $(LABEL_STUDIO) && \
		$(LABEL_STUDIO)/bin/python -m pip --disable-pip-version-check install --quiet label-studio-sdk==2.1.2 && touch $@ || \
		{ rm -rf $(LABEL_STUDIO); echo "label-studio-sdk cannot be installed: the tests that need it are skipped."; }
