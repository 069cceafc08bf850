# make train | test | sanitize | abi | benchmark | gpu-check | lint | format | configuration | docs | sdist | clean.   PYTHON=python3.12 chooses the interpreter.
# The first of these that DGL has wheels for.
ifndef PYTHON
PYTHON := $(shell for p in python3 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))' >/dev/null 2>&1 && echo $$p && exit; done; \
	echo python3)
endif
VENV ?= .venv
BIN := $(VENV)/bin
INPUTS := setup.py pyproject.toml constraints.txt $(wildcard csrc/*.h csrc/*.cpp csrc/*/*.h csrc/*/*.cpp csrc/*/*.cu)

.PHONY: train test sanitize abi benchmark gpu-check lint format configuration docs sdist clean

train: $(VENV)/.installed
	$(BIN)/infgrand-dgl train --config experiments/demo.yaml

# Two processes of one thread each; JOBS=8 where there are more cores.
JOBS ?= 2
test: $(VENV)/.installed
	OMP_NUM_THREADS=1 $(BIN)/pytest -n $(JOBS) --dist worksteal --ignore=tests/ops/test_sanitized.py

# The op tests under AddressSanitizer and UBSan, CPU kernels and emulated CUDA kernels.
sanitize: $(VENV)/.installed
	$(BIN)/pytest -n $(JOBS) tests/ops/test_sanitized.py

# Both libraries against the oldest torch that is supported: its headers, its symbols.
abi: $(VENV)/.installed
	$(BIN)/python csrc/check_abi.py

# Into benchmarks/results/<machine>.json, and a table beside it.
benchmark: $(VENV)/.installed
	$(BIN)/infgrand-dgl benchmark all --out benchmarks/results

# On a machine with a GPU, with its own Python: builds, checks, measures; summary.json and report.tar
# in REPORT. ONLY=spmm (or another op) for it alone; DEVICE=cpu SHRINK=100 rehearses it.
REPORT ?= runs/gpu-check
DEVICE ?= cuda
SHRINK ?= 1
gpu-check:
	@$(PYTHON) benchmarks/gpu_check.py "$(REPORT)" --device $(DEVICE) --shrink $(SHRINK) $(if $(ONLY),--only $(ONLY))

FORMATTED := $(wildcard csrc/*.h csrc/*.cpp csrc/*/*.h csrc/*/*.cpp csrc/*/*.cu tests/emulation/*.h)
lint: $(VENV)/.installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/clang-format --dry-run -Werror $(FORMATTED)

format: $(VENV)/.installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/clang-format -i $(FORMATTED)

# The site, into build/site. Strict: a broken link or a formula that cannot be read is an error.
docs: $(VENV)/.installed-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

# Of the site alone, which reads sources and runs none of them.
$(VENV)/.installed-docs: pyproject.toml constraints.txt | $(VENV)/.installed
	$(BIN)/pip install -q -c constraints.txt --no-build-isolation -e '.[docs]'
	@touch $@

# The page of all keys, from the schema; a test fails where it is stale.
configuration: $(VENV)/.installed
	$(BIN)/python -m infgrand_dgl.config.reference > docs/configuration.md

sdist: $(VENV)/.installed
	$(BIN)/python -m build --sdist --no-isolation

# torch comes first: the extension compiles against the torch that it will run with.
$(VENV)/.installed: $(INPUTS)
	@$(PYTHON) -c 'import sys; v = sys.version_info; v[:2] in ((3, 11), (3, 12)) or sys.exit(f"Python 3.12 or 3.11 is needed, as DGL has wheels for no later one; found {v[0]}.{v[1]}: install python3.12, or make PYTHON=path/to/python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q -c constraints.txt torch setuptools
	$(BIN)/pip install -q -c constraints.txt --no-build-isolation -e '.[test]'
	@touch $@

clean:
	rm -rf $(VENV) build dist src/*.egg-info src/infgrand_dgl/ops/*.so
