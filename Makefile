# `make run` sets everything up and runs the main job; `make test` sets up and checks everything.

PYTHON ?= python3
BIN := .venv/bin
PEERS := .venv-peer/bin
DOLFINX := .venv-dolfinx/bin
DOLFINX_PYTHON ?= /usr/bin/python3

# Open MPI refuses to start ranks for root, or more ranks than cores, unless it is told to.
export OMPI_ALLOW_RUN_AS_ROOT := 1
export OMPI_ALLOW_RUN_AS_ROOT_CONFIRM := 1
export OMPI_MCA_rmaps_base_oversubscribe := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1

# One thread a process: tests run side by side, and so do MPI ranks.
test parity bindings-test dolfinx-test: export OMP_NUM_THREADS := 1

.DEFAULT_GOAL := help
.PHONY: test-slow help setup run test lint doctor parity bindings-test dolfinx-test peers catalog lock clean distclean

help: ## list these targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 16

setup: ## make or repair .venv with everything in it (set-up of its own accord in all targets below)
	@$(PYTHON) scripts/set_up.py

run: setup ## the main job: a viscoplastic plate with a hole, on two MPI ranks where MPI is there
	$(BIN)/neml2fe run --ranks auto examples/perforated_plate/plate.i

test: lint ## every check, and every test but slow ones
	$(BIN)/pytest -n 2 --dist worksteal -m "not mpi and not slow"
	$(BIN)/pytest -m "mpi and not slow"

test-slow: setup ## further combinations of what the tests cover, some minutes
	$(BIN)/pytest -n 2 --dist worksteal -m slow

lint: setup ## format, lint, types and layering
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

doctor: setup ## what was found: torch and devices, compiler, PETSc, MPI, extras
	$(BIN)/neml2fe doctor

parity: peers ## compare with other codes, installed beside in .venv-peer (several GB)
	NEML2FE_PEER=$(abspath $(PEERS)/python) $(PEERS)/pytest tests/parity
	NEML2FE_PEER=$(abspath $(PEERS)/python) $(PEERS)/python tests/parity/table.py

bindings-test: peers ## the bindings in the codes that they are for, installed as for parity
	$(PEERS)/pytest bindings
	@if $(DOLFINX_PYTHON) -c 'import dolfinx as d; assert d.__version__[:4] == "0.5."' 2> /dev/null; \
	then $(MAKE) --no-print-directory dolfinx-test; \
	else echo "bindings/dolfinx is not tested: $(DOLFINX_PYTHON) has no DOLFINx 0.5" \
	    "(Debian 12: apt install python3-dolfinx)"; fi

# In the system's Python, since no index has DOLFINx 0.5; bindings/dolfinx/README.md says why --no-deps.
dolfinx-test:
	@test -x $(DOLFINX)/python || $(DOLFINX_PYTHON) -m venv --system-site-packages .venv-dolfinx
	@echo '*' > .venv-dolfinx/.gitignore
	$(DOLFINX)/pip install -q "$$(grep '^torch==' constraints.txt)" casadi meshio nmhit filelock rich
	$(DOLFINX)/pip install -q pytest pytest-timeout
	$(DOLFINX)/pip install -q --no-deps -e .
	NEML2FE_PYTHON=$(abspath $(PEERS)/python) $(DOLFINX)/python -m pytest bindings/dolfinx

peers:
	@test -x $(PEERS)/python || $(PYTHON) -m venv .venv-peer
	@echo '*' > .venv-peer/.gitignore
	$(PEERS)/pip install -q torch==2.12.1 neml2==3.1.0 pyzag==2.0.0 torch-fem==0.14.0 scikit-fem==12.0.2
	$(PEERS)/pip install -q -e . pytest pytest-timeout

catalog: setup ## write docs/catalog anew, from what the types declare
	$(BIN)/python scripts/catalog.py

lock: setup ## renew constraints.txt; torch stays at the release that it names
	$(BIN)/pip install -q uv
	grep -E '^(#|$$)' constraints.txt > constraints.new
	(grep -E '^torch==' constraints.txt; echo mpi4py; echo setuptools) \
	| UV_PYTHON_DOWNLOADS=never $(BIN)/uv pip compile -q --universal --python-version 3.10 --no-header \
	    --no-annotate --extra figures --extra pictures --extra bayes --extra dev pyproject.toml - \
	| grep -vE '^(nvidia|cuda|triton)' >> constraints.new
	mv constraints.new constraints.txt

clean: ## remove caches, build leftovers and results
	rm -rf build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	rm -rf examples/*/results
	find . -name __pycache__ -not -path './.venv*' -prune -exec rm -rf {} +

distclean: clean ## also remove the virtual environments
	rm -rf .venv .venv-peer .venv-dolfinx *.egg-info
