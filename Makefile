# Everything runs in .venv, which the first target makes from requirements.lock.
PYTHON ?= python3
BIN := .venv/bin
CONSOLE := app/console/static/index.html
CONSOLE_SOURCES := $(shell find app/console -not -path '*/node_modules/*' -not -path '*/static/*' -type f) hatch_build.py

.PHONY: serve test lint console browser test-console schema lock test-keystone bench bench-stores bench-console kill-test fuzz

serve: .venv/installed $(CONSOLE)  ## the server on an embedded PostgreSQL and a local-folder store
	$(BIN)/waymark serve

test: .venv/installed lint $(CONSOLE)  ## lint, types, floors and every test
	$(BIN)/pytest -n 2

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python hatch_build.py --check
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec docker-compose.yml

console: $(CONSOLE)  ## builds the web console

$(CONSOLE): .venv/installed $(CONSOLE_SOURCES)
	$(BIN)/python hatch_build.py

browser:  ## installs Debian's Chromium, where there is none
	command -v chromium >/dev/null || { apt-get update --quiet && apt-get install --quiet --yes chromium; }

test-console: .venv/installed $(CONSOLE) browser  ## the console's tests alone, in a browser that must be there
	$(BIN)/pytest -n 2 tests/console --require-chromium

schema: .venv/installed  ## prints the schema that the code has now
	$(BIN)/python -m app.api.schema > schema.graphql

lock: .venv/installed  ## resolves the newest dependencies that pyproject.toml allows
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11.3 --generate-hashes --no-header --no-annotate --upgrade \
	  --extra embedded --group dev pyproject.toml --output-file requirements.lock

test-keystone: .venv/installed .venv-keystone/installed  ## Swift behind Keystone, which is too large for every run
	$(BIN)/pytest tests/stores/behind_keystone.py

bench: .venv/installed  ## what requests cost; then 10,000 executions, whose workers and server are killed at random
	$(BIN)/python -m benchmarks
	$(BIN)/python -m benchmarks.queue

bench-stores: .venv/installed  ## files to and from every store, beside the vendors' own libraries
	$(BIN)/python -m benchmarks.stores

bench-console: .venv/installed $(CONSOLE) browser  ## how soon the console's pages can be used, and how smoothly they move
	$(BIN)/python -m benchmarks.console

kill-test: .venv/installed  ## writers go on while the server and PostgreSQL are killed at random
	$(BIN)/python -m tests.kill

fuzz: .venv/installed  ## more than 10,000 made-up documents, over the whole schema
	$(BIN)/pytest tests/api/test_fuzz.py --fuzz-examples 400 -s

.venv/installed: requirements.lock pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --require-hashes --requirement requirements.lock
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

# of other libraries' versions than ours, so that it cannot be in .venv
.venv-keystone/installed:
	$(PYTHON) -m venv .venv-keystone
	.venv-keystone/bin/pip install --quiet keystone==30.0.0 keystonemiddleware swift==2.38.3
	touch $@
