# What a person does with a checkout of dnarc. Everything goes into .venv, from the hashed lock alone;
# a target that finds .venv up to date starts at once.

.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

PYTHON ?= python3
PORT ?= 8080
DATA ?= data

# Most tests wait for a socket, a file or another process most of the time, so more workers than cores are faster.
WORKERS ?= $(shell echo $$((2 * $$(getconf _NPROCESSORS_ONLN))))

# Drawn from the program as it is committed, so that every change of it is tried with seeds that are new, and can be tried
# with them again.
NEW_SEED ?= $(shell printf '%d' 0x$$(git rev-parse HEAD:protocol HEAD:node HEAD:simulations 2>/dev/null | \
	git hash-object --stdin 2>/dev/null | cut -c1-7))
NEW_SEEDS_S ?= 60

ATTACK_S ?= 20

# Tests, demos and benchmarks start many processes. Many containers set this variable, and then each process compiles all
# that it imports anew. An empty value counts as none; `make clean` removes the compiled files.
export PYTHONDONTWRITEBYTECODE :=

RUNS ?= 200

BIN := .venv/bin
INSTALLED := .venv/.installed
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps
SOURCES := $(wildcard protocol node simulations tests benchmarks)
# worksteal: each worker begins with tests that stand side by side, so few workers start the same node or browser. A
# worker without tests takes over tests of another one, so that all workers end at the same time.
PYTEST := $(BIN)/python -m pytest --numprocesses $(WORKERS) --dist worksteal
# Tests that need no socket, no process and no browser.
UNIT := tests/test_arrows.py tests/protocol tests/simulations/world tests/simulations/judges

.PHONY: help run demo fleet fleet-chaos test unit explore attack simulate browser programs screenshots check lint types format bench lock clean

help: ## say what there is to do
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1|\2/p' Makefile | while IFS='|' read -r target text; do \
		printf '%-17s %s\n' "$$target" "$$text"; done

run: $(INSTALLED) ## run a node on http://127.0.0.1:8080, its store in ./data (PORT=, DATA= change that)
	$(BIN)/dnarc serve --port $(PORT) --data $(DATA)

demo: $(INSTALLED) ## show three linked nodes: claims, a transfer, a kill, a conflict
	$(BIN)/python -m simulations.processes.demo

fleet: $(INSTALLED) ## show three processes on one PostgreSQL database while the one that writes is killed
	$(BIN)/python -m simulations.processes.fleet

fleet-chaos: $(INSTALLED) ## the same with 20 kills of the writer, and 10 pauses of 30 seconds
	$(BIN)/python -m simulations.processes.fleet --claims 12000 --kills 20 --pauses 10

test: $(INSTALLED) browser programs ## run every test, on two workers for each core (WORKERS= changes that)
	$(PYTEST)

unit: $(INSTALLED) ## run the tests that need no socket, no process and no browser
	$(PYTEST) $(UNIT)

browser: ## bring Chromium for the tests of the explorer, where that takes nobody's leave
	@bash tests/explorer/bring_chromium

programs: ## bring the programs that check deploy/ and the scripts, where Debian's packages have them
	@bash tests/deploy/bring_programs

screenshots: $(INSTALLED) browser ## take the README's pictures of the explorer anew
	$(BIN)/python -m tests.explorer.screenshots

check: ## run all that CI runs
	bash .ci/run

explore: $(INSTALLED) ## try every order of messages in small councils of witnesses, and long orders by chance (RUNS=)
	$(BIN)/python -m tests.protocol.witness.orders
	$(BIN)/python -m tests.protocol.witness.exploration --runs $(RUNS)

attack: $(INSTALLED) ## attack a node in each known way for ATTACK_S seconds, and measure what it costs and how an honest client fares
	ATTACK_S=$(ATTACK_S) $(BIN)/python -m pytest -q -s tests/attack

simulate: $(INSTALLED) ## play networks that chance drew: those that once found a fault, and new ones for a minute (NEW_SEED=, NEW_SEEDS_S=)
	$(BIN)/dnarc simulate swarm --found --jobs 2
	$(BIN)/dnarc simulate swarm --start $(NEW_SEED) --seeds 1000 --seconds $(NEW_SEEDS_S) --jobs 2

lint: $(INSTALLED) ## look for faults of form
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(INSTALLED) ## check the types
	$(BIN)/mypy $(SOURCES)

format: $(INSTALLED) ## put the code into its form
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(INSTALLED) ## measure all that the node does beside the limit of this machine, in one table (BENCH=--quick: in 3 minutes)
	@$(BIN)/python -m benchmarks $(BENCH)

# uv resolves for every platform and for Python 3.11 to 3.14 at once, which pip cannot. It stays out of .venv: only this
# target needs it. No header and no index URL, so the lock names packages and hashes and nothing of where it was made.
lock: pyproject.toml ## choose the newest versions of every package anew
	$(PYTHON) -m venv .venv-lock
	.venv-lock/bin/python -m pip install --quiet uv
	.venv-lock/bin/uv pip compile pyproject.toml --quiet --upgrade --universal --python-version 3.11 --all-extras --group dev \
		--generate-hashes --no-header --no-emit-index-url --no-emit-find-links --output-file requirements.lock
	rm -rf .venv-lock

clean: ## remove what make and the tools made; ./data stays
	rm -rf .venv .venv-lock .programs build dist htmlcov .coverage .coverage.* .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# --no-compile: Python compiles what it imports, which is far less than what is installed, and halves the time of this.
$(INSTALLED): pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "dnarc needs Python 3.11 or newer: '$(PYTHON)' is missing or older. Name another: make PYTHON=python3.12" >&2; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear .venv
	$(PIP_INSTALL) --no-compile --require-hashes -r requirements.lock
	$(PIP_INSTALL) --no-index --no-build-isolation --editable .
	@touch $@
