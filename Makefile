# Everything runs from .venv, which make creates by itself: a Python with venv and
# pip is all it needs. No root, no activation.

# The first Python that is new enough.
PYTHON ?= $(firstword $(foreach p,python3 python3.13 python3.12 python3.11,\
	$(shell $(p) -c 'import sys; sys.version_info >= (3, 11) and print("$(p)")' 2>/dev/null)))
JOBS   ?= 2
SEED   ?= $(shell date +%s)
ARGS   ?=

BIN    := .venv/bin
READY  := .venv/.ready
PIP    := $(BIN)/python -m pip --disable-pip-version-check --no-input
PYTEST := $(BIN)/python -m pytest
LUACHECK := luacheck --quiet --no-cache --config scripts/lua/.luacheckrc

# Tests start many processes; compiling everything in each of them takes a quarter of them.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test slow chaos fuzz check lint lint-lua reference format docs bench \
	bench-full coverage lock clean

help: ## say what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo "ARGS='...' is passed on to pytest, the demo or the benchmarks; JOBS=2, SEED=<now>."

# The lock names every package with its hashes; redisflow itself is installed as a
# link to this folder, by the build backend from the lock.
$(READY): pyproject.toml requirements/dev.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python" >&2; exit 1; }
	$(PYTHON) -m venv --clear .venv
	$(PIP) install --quiet --no-compile --require-hashes --requirement requirements/dev.txt
	$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

demo: $(READY) ## run one flow with several workers and look at it
	$(BIN)/python examples/demo.py $(ARGS)

# One process more than jobs: much of the time is waiting, for servers and for leases.
test: $(READY) ## run the tests, without the slow ones and the chaos
	$(PYTEST) -n $$(($(JOBS) + 1)) -m "not slow and not chaos" $(ARGS)

slow: $(READY) ## run the slow tests, those over two seconds
	$(PYTEST) -n $$((2 * $(JOBS))) -m "slow and not chaos" $(ARGS)

# With SECONDS or STORM only storms are had: so long, or that one.
chaos: $(READY) ## kill, pause and cut; SEED=n repeats a run, SECONDS=n: storms only
	$(PYTEST) -m chaos --seed $(SEED) \
		$(if $(STORM)$(SECONDS),tests/chaos/test_random.py,-n $$(($(JOBS) + 1))) \
		$(if $(STORM),--storm $(STORM)) $(if $(SECONDS),--seconds $(SECONDS)) $(ARGS)

# Atheris stands apart from the lock: nothing else needs it, and few Pythons have it.
fuzz: $(READY) ## fuzz the decoder and the URLs; SECONDS=60
	@$(BIN)/python -c "import atheris" 2>/dev/null || $(PIP) install --quiet "atheris==3.0.0"
	mkdir -p build/fuzz
	$(BIN)/python tests/fuzz/fuzz_inputs.py build/fuzz -max_total_time=$(or $(SECONDS),60) \
		-artifact_prefix=build/fuzz- -dict=tests/fuzz/words.dict -timeout=5 -rss_limit_mb=2048 -print_final_stats=1 $(ARGS)

check: lint test ## everything that has to pass before a change goes in

lint: $(READY) lint-lua ## look at the code without running it
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/interrogate --quiet tests
	$(BIN)/codespell

# What runs is the text with its includes spliced in, so that is what is judged; only
# white space and line lengths (the warnings 6..) are those of the files.
lint-lua: $(READY)
	@if command -v luacheck >/dev/null; then \
		rm -rf build/lua && mkdir -p build/lua && \
		$(BIN)/python scripts/flatten_lua.py build/lua && \
		$(LUACHECK) build/lua --no-max-line-length && \
		$(LUACHECK) scripts/lua --only 6; \
	elif [ -n "$${CI:-}" ]; then \
		echo "luacheck is missing, and CI has to have it" >&2; exit 1; \
	else \
		echo "skipped luacheck: it is not on the PATH (Debian and Ubuntu: lua-check)"; \
	fi

reference: $(READY) ## write docs/cli.md from the help of the commands
	$(BIN)/python scripts/cli_reference.py docs/cli.md

format: $(READY) ## put the code in its form
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

docs: $(READY) ## build the documentation into build/site; links must lead somewhere
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

bench: $(READY) ## measure, and print ratios: some minutes
	$(BIN)/python -m benchmarks $(ARGS)

bench-full: $(READY) ## measure everything at full size: half an hour or more
	$(BIN)/python -m benchmarks --full $(ARGS)

coverage: $(READY) ## run the tests and say what they did not reach
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest -n $(JOBS) -m "not chaos" $(ARGS)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

# --universal: one file for every supported Python and platform.
lock: $(READY) ## bring requirements/*.txt up to date (UPGRADE=1: to the newest)
	test -x build/uv/bin/uv || { $(PYTHON) -m venv build/uv && build/uv/bin/pip install --quiet uv; }
	build/uv/bin/uv pip compile pyproject.toml --all-extras --group dev \
		--universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--custom-compile-command "make lock" $(if $(UPGRADE),--upgrade) \
		--quiet --output-file requirements/dev.txt
	build/uv/bin/uv pip compile pyproject.toml --extra all --extra metrics \
		--group image --constraints requirements/dev.txt --universal \
		--python-version 3.11 --generate-hashes --no-emit-index-url \
		--custom-compile-command "make lock" --quiet \
		--output-file requirements/image.txt

clean: ## remove what was made, .venv too
	rm -rf .venv build dist htmlcov .coverage* .hypothesis .import_linter_cache \
		.mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
