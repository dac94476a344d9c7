# Each target does all the set-up that it needs, from nothing but Python (3.10 or newer) and make.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test check format clean

demo: .venv/installed  ## A spam filter carried over to a mailbox it has never seen: the table, and the report's place.
	$(BIN)/nlptl run recipes/quickstart.yaml

test: .venv/installed-dev  ## Style, types and tests.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest

check: test

format: .venv/installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf .venv

.venv/created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "nlptl needs Python 3.10 or newer, and $(PYTHON) is older: make PYTHON=python3.11 …")'
	$(PYTHON) -m venv .venv
	@touch $@

.venv/installed: .venv/created pyproject.toml constraints.txt
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[offline]'
	@touch $@

.venv/installed-dev: .venv/installed
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[offline,dev]'
	@touch $@
