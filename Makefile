# Everything a contributor runs. `make test VENV=/path` uses another virtual environment.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
BIN := $(VENV)/bin
IMAGE ?=
OUTPUT ?= outputs
# Extra arguments for pytest, e.g. `make test PYTEST_ARGS="-k resnet"`.
PYTEST_ARGS ?=

# What these test does not depend on the backend, so they run once. Every other test runs on each backend.
ONCE_TESTS := tests/cli tests/data tests/metrics $(wildcard $(addprefix tests/test_, $(addsuffix .py, \
	cli contact_sheet docs imports labels memory progress results runs segments upload_presets visualization))) \
	$(filter-out tests/evaluation/test_callback.py, $(wildcard tests/evaluation/*)) \
	$(addprefix tests/hub/test_, $(addsuffix .py, archive cache cards checkpoint_reader download \
	experiment_options olah preset_files preset_table published_trouble registry textproto upload \
	weights_file))

.PHONY: help venv demo test lint format clean

help:
	@echo "make venv      a virtual environment in $(VENV) with the package in it"
	@echo "make demo      segments docs/images/demo_street.png, and IMAGE=photo.jpg, into $(OUTPUT)/"
	@echo "make test      the tests on TensorFlow, JAX and PyTorch"
	@echo "make lint      ruff check and ruff format --check"
	@echo "make format    applies ruff's fixes and formatting"
	@echo "make clean     removes build products and caches"

venv: $(BIN)/.package

# keras-hub brings TensorFlow along on Linux and macOS; the extra names it for the other systems.
$(BIN)/.package: pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed; name it with PYTHON=..." >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable ".[tensorflow]"
	touch $@

# torch comes first and exactly, so that nothing after it pulls another build. panopticapi-lite is an
# oracle of the tests; it goes in without its dependencies, since it asks for an old numpy.
$(BIN)/.tests: $(BIN)/.package
	$(BIN)/python -m pip install --quiet torch==2.13.0
	$(BIN)/python -m pip install --quiet --editable ".[tensorflow,jax,test]"
	$(BIN)/python -m pip install --quiet --no-deps panopticapi-lite==0.2.0
	touch $@

$(BIN)/.lint: $(BIN)/.package
	$(BIN)/python -m pip install --quiet "$$(sed -n 's/.*"\(ruff==[^"]*\)".*/\1/p' pyproject.toml)"
	touch $@

demo: venv
	$(BIN)/keras-deeplab demo $(if $(IMAGE),--image "$(IMAGE)") --output "$(OUTPUT)"

# pytest's processes use all cores: more threads in each would only wait for one another, as torch's do busily.
# A process that crashes ends the run: pytest-xdist replaces it, but may then wait for ever.
test: $(BIN)/.tests
	@failed=""; \
	for backend in tensorflow jax torch; do \
		skipped=""; \
		[ $$backend = tensorflow ] || skipped="$(addprefix --ignore=,$(ONCE_TESTS))"; \
		echo "== tests on $$backend"; \
		KERAS_BACKEND=$$backend OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q \
			-n auto --maxprocesses 4 --max-worker-restart 0 --dist loadfile \
			$$skipped $(PYTEST_ARGS) || failed="$$failed $$backend"; \
	done; \
	[ -z "$$failed" ] || { echo "Tests failed on:$$failed" >&2; exit 1; }

lint: $(BIN)/.lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(BIN)/.lint
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf build dist .pytest_cache .ruff_cache .hypothesis *.egg-info
	find . -name __pycache__ -not -path "./$(VENV)/*" -prune -exec rm -rf {} +
