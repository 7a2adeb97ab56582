.DEFAULT_GOAL := help
.PHONY: help install run test test-fast coverage matrix docs lint format typecheck ui bench gpu-check gpu-wheels fuzz lock clean

PYTHON ?= python3
ROOT   ?= outputs
PORT   ?= 5000
ARGS   ?=
OUT    ?= $(ROOT)/gpu_check
LEVELS ?= data/boxoban

VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
PEERS  := $(VENV)/.peers-installed
STORE   = $(ROOT)/mlflow.db
PYTEST := $(BIN)/python -m pytest -n logical --maxprocesses 4 --dist worksteal
BENCH  := $(ROOT)/runs/bench/$(shell date +%Y-%m-%d_%H-%M-%S)
CACHES := .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage*

export MLFLOW_DISABLE_TELEMETRY := true
export DO_NOT_TRACK := true
export PIP_DISABLE_PIP_VERSION_CHECK := 1

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo "ARGS='...' is passed on by run, bench, test, test-fast, coverage, matrix and fuzz:  make run ARGS='seed=1'"

install: $(STAMP) ## Make .venv and install everything, exact versions (PYTHON=python3.12 picks another Python)

$(STAMP): pyproject.toml constraints.txt tools/install_torch.sh
	@test -x $(BIN)/pip || $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	  { echo "$(PYTHON) is missing or older than 3.11: name a newer one with 'make install PYTHON=python3.12'" >&2; exit 1; }
	test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	tools/install_torch.sh $(BIN)/python
	$(BIN)/pip install --editable '.[dev]' --constraint constraints.txt
	@touch $@

run: $(STAMP) ## Run the thinking-time experiment (installs first if needed)
	$(BIN)/python -m drc_lab +experiment=thinking_sweep $(ARGS)

bench: $(STAMP) $(PEERS) ## Measure envs, generators, solvers and policies beside others, and where a training's time goes
	$(BIN)/python -m drc_lab +experiment=env_speed folder=$(BENCH)/env_speed $(ARGS)
	$(BIN)/python -m drc_lab +experiment=search_speed folder=$(BENCH)/search_speed $(ARGS)
	$(BIN)/python -m drc_lab +experiment=policy_speed folder=$(BENCH)/policy_speed $(ARGS)
	$(BIN)/python -m drc_lab +experiment=benchmark folder=$(BENCH)/benchmark $(ARGS)
	$(BIN)/python tools/against_before.py --folder $(BENCH)/before
	cp $(BENCH)/*/*.csv experiments/benchmarks/

$(PEERS): pyproject.toml constraints.txt | $(STAMP)
	$(BIN)/pip install --editable '.[dev,bench]' --constraint constraints.txt
	@touch $@

gpu-check: ## Check and measure on an NVIDIA GPU, with the packages that are there; results in OUT
	$(if $(wildcard $(STAMP)),$(BIN)/python,$(PYTHON)) tools/gpu_check.py --out $(OUT) $(ARGS)

gpu-wheels: $(STAMP) ## Fetch into .wheels what gpu-check needs on a machine without a network; levels from LEVELS
	$(BIN)/python tools/gpu_check.py --bring .wheels --levels $(LEVELS)

ui: $(STAMP) ## Serve MLflow's pages on the runs under ROOT=outputs, at PORT=5000
	@test -f $(STORE) || { echo "No runs yet: $(STORE) is not there. 'make run' makes it." >&2; exit 1; }
	@$(BIN)/python -m drc_lab.tracking.ui $(STORE) $(PORT)

test: $(STAMP) ## Run all tests
	$(PYTEST) $(ARGS)

test-fast: $(STAMP) ## Run the tests that aren't marked slow
	$(PYTEST) -m "not slow" $(ARGS)

coverage: $(STAMP) ## Run all tests, and list the lines of drc_lab that none runs; ARGS=tests/envs measures a part
	$(PYTEST) --cov --cov-report=term --cov-report=html:$(ROOT)/coverage $(if $(ARGS),--cov-fail-under=0) $(ARGS)

matrix: $(STAMP) ## Try Python 3.11 to 3.14 and the lowest versions of all dependencies, as far as they can be had
	PATH=$(CURDIR)/$(BIN):$$PATH $(BIN)/python tools/matrix.py $(ARGS)

fuzz: $(STAMP) ## Load thousands of damaged files of each kind; figures in experiments/reliability (ARGS=levels: one kind)
	$(BIN)/python tools/fuzz.py $(ARGS)

docs: $(STAMP) ## Build the documentation site into ROOT/site; a link to nowhere ends it
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict --site-dir $(abspath $(ROOT))/site
	@echo "$(ROOT)/site/index.html"

lint: $(STAMP) ## Check style and formatting
	$(BIN)/ruff check
	$(BIN)/ruff format --check

format: $(STAMP) ## Rewrite the code in the project's format, and fix what can be fixed
	$(BIN)/ruff check --fix-only
	$(BIN)/ruff format

typecheck: $(STAMP) ## Check types
	$(BIN)/mypy

lock: ## Renew constraints.txt: the newest versions that pyproject.toml allows (torch only with TORCH=x.y.z)
	tools/lock.sh $(PYTHON) $(TORCH)

clean: ## Remove caches and build products; keeps outputs/, and .venv but for its install stamp
	rm -rf $(CACHES) build dist *.egg-info $(STAMP) $(PEERS)
	find . -name __pycache__ -type d -not -path './$(VENV)/*' -not -path './$(ROOT)/*' -prune -exec rm -rf {} +
