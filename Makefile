# Every target sets up .venv by itself and reuses it afterwards. Paths stay relative, so a clone may live anywhere.
PYTHON ?= python3
PY := .venv/bin/python
STAMP := .venv/.installed
JOBS ?= 2
SIZES ?= XS

.PHONY: demo bench test test-full check docs format clean

demo: $(STAMP)
	$(PY) -m onelip grid demo --out demo

bench: $(STAMP)
	$(PY) -m onelip measure --sizes $(SIZES) --peers

test: $(STAMP)
	OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 $(PY) -m pytest -n $(JOBS) -m "not full"

test-full: $(STAMP)
	OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 $(PY) -m pytest -n $(JOBS)

check: $(STAMP)
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .
	$(PY) -m mypy
	$(PY) -c "from importlinter.cli import lint_imports_command; lint_imports_command()" --no-cache

docs: $(STAMP)
	$(PY) -m sphinx -W --keep-going -b html docs docs/_build

format: $(STAMP)
	$(PY) -m ruff format .
	$(PY) -m ruff check --fix .

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("onelip needs Python 3.10 or newer, not " + sys.version.split()[0] + "; name one: make PYTHON=python3.12") if sys.version_info < (3, 10) else None'
	@$(PYTHON) -c 'import ensurepip' || { echo "$(PYTHON) cannot make virtual environments; install its venv package (Debian: python3-venv)"; exit 1; }
	@echo "Setting up .venv (once; PyTorch is a large download)"
	$(PYTHON) -m venv .venv
	$(PY) -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[dev]"
	@touch $(STAMP)

clean:
	rm -rf .venv demo docs/_build .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
