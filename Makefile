# Each target makes what it needs, in .venv, from nothing but Python 3.11+ and its own pip.
#   make demo        train on a bundled series; writes a figure, metrics and a checkpoint
#   make test        the tests in float32 and in float64, side by side; ARGS="-k series" goes to pytest
#   make test-slow   the same with the slow tests, compiled as users' programs are
#   make test-users  the laws of the models and the integrator against its peers, so compiled
#   make package     wheel and sdist, in dist/; the wheel in an environment of its own, the sdist by its tests
#   make lint        ruff, and pyright in basic mode; `make format` mends what ruff can
#   make docs        the documentation, in site/, every example run (minutes, once); CTMODELS_GALLERY=pages runs none
#   make lock        solves requirements/*.txt anew; UPGRADE=--upgrade takes the newest versions
#   make clean       takes away all of these (not runs/)

SHELL  := bash
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check
DEV    := $(VENV)/.dev-installed
DOCS   := $(VENV)/.docs-installed

.NOTPARALLEL:
.PHONY: demo test test-slow test-users package lint format docs lock clean

demo: $(DEV)
	@$(BIN)/ctmodels demo $(ARGS)

test: $(DEV)
	$(call in-both-precisions,$(ARGS))

test-slow: export CTMODELS_TEST_FLAGS := users
test-slow: $(DEV)
	$(call in-both-precisions,-m "" $(ARGS))

test-users: export CTMODELS_TEST_FLAGS := users
test-users: $(DEV)
	$(call in-both-precisions,tests/test_laws.py tests/integrate/test_reference.py tests/integrate/test_solve.py $(ARGS))

# As users get it: `pip install` resolves, within the versions of the lock, what the wheel says that it needs.
package: $(DEV)
	rm -rf dist build/package
	$(BIN)/python -m build --no-isolation --outdir dist . >/dev/null
	$(PYTHON) -m venv build/package/venv
	sed -E '/^[a-z]/!d; s/ \\$$//' requirements/dev.txt >build/package/constraints.txt
	build/package/venv/bin/python -m pip --disable-pip-version-check install -qq -c build/package/constraints.txt dist/*.whl
	cd build/package && venv/bin/ctmodels doctor && venv/bin/ctmodels demo --out demo
	test -s build/package/demo/lynx_hare/report.html && test -s build/package/demo/lorenz63/report.html
	tar -xzf dist/*.tar.gz -C build/package
	cd build/package/ctmodels-*/ && $(CURDIR)/$(BIN)/python -m pytest -q --no-header --collect-only -m "" tests | tail -n 1 && \
	$(CURDIR)/$(BIN)/python -m pytest -q --no-header tests/core tests/test_packaging.py

lint: $(DEV)
	$(BIN)/ruff check --output-format=concise .
	$(BIN)/ruff format --check .
	$(BIN)/basedpyright

format: $(DEV)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(DOCS)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

clean:
	rm -rf $(VENV) .lock-venv .gallery_cache .hypothesis .jax_cache .pytest_cache .ruff_cache build dist site
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Two processes, because JAX settles its precision once. float32 is shown as it runs, float64 when both are done.
define in-both-precisions
@set -o pipefail; logs=.pytest_cache; mkdir -p $$logs; \
JAX_ENABLE_X64=1 $(BIN)/python -m pytest -o cache_dir=$$logs/float64 $(1) >$$logs/float64.log 2>&1 & double=$$!; \
trap 'kill $$double 2>/dev/null' EXIT; \
echo "float32:"; \
JAX_ENABLE_X64=0 $(BIN)/python -m pytest -o cache_dir=$$logs/float32 $(1) 2>&1 | tee $$logs/float32.log; single=$$?; \
wait $$double; double=$$?; \
echo; echo "float64:"; cat $$logs/float64.log; \
echo; echo "float32 (exit $$single): $$(tail -n 1 $$logs/float32.log)"; \
echo "float64 (exit $$double): $$(tail -n 1 $$logs/float64.log)"; \
trap - EXIT; [ $$single -eq 0 ] && [ $$double -eq 0 ]
endef

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	{ echo "ctmodels needs Python 3.11 or newer, and $(PYTHON) is $$($(PYTHON) --version 2>&1): make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
	{ rm -rf $(VENV); echo "No virtual environment could be made. On Debian or Ubuntu: apt install python3-venv" >&2; exit 1; }

$(DEV): pyproject.toml requirements/dev.txt | $(BIN)/python
	@echo "Installing the locked requirements into $(VENV) (about a minute) ..."
	@$(PIP) install -qq --require-hashes -r requirements/dev.txt
	@$(PIP) install -qq --no-deps --no-build-isolation --editable .
	@touch $@

$(DOCS): requirements/docs.txt $(DEV)
	@$(PIP) install -qq --require-hashes -r requirements/docs.txt
	@touch $@

# One lock for every system and every Python from 3.11. uv does not read pip's configuration: behind a mirror, give
# it its own (UV_DEFAULT_INDEX); no address is written into the locks.
LOCK := .lock-venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes $(UPGRADE)

lock: export UV_CUSTOM_COMPILE_COMMAND = make lock
lock: $(BIN)/python
	$(BIN)/python -m venv .lock-venv
	.lock-venv/bin/python -m pip --disable-pip-version-check install --quiet uv
	$(LOCK) pyproject.toml --extra dev -o requirements/dev.txt
	$(BIN)/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["docs"], sep="\n")' | \
	$(LOCK) - --constraints requirements/dev.txt -o requirements/docs.txt
	rm -rf .lock-venv
