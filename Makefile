# Each target does all the set-up that it needs, from nothing but Python (3.10 or newer) and make.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test check format clean bench bench-full

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

# Speed beside peers. DATA is a folder with sms_spam.parquet (text, label); cells that are in benchmarks/results/ are not
# measured again, so that a stopped run goes on.
DATA ?= ../shared/data

bench: .venv/installed-bench  ## Ratios to peers, to benchmarks/results/.
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python benchmarks/encoding.py $(DATA)/sms_spam.parquet
	$(BIN)/python benchmarks/prediction.py $(DATA)/sms_spam.parquet
	$(BIN)/python benchmarks/training.py $(DATA)/sms_spam.parquet
	$(BIN)/python benchmarks/mixed_users.py $(DATA)/sms_spam.parquet 8,64
	$(BIN)/python benchmarks/adapters_together.py $(DATA)/sms_spam.parquet 16 32
	$(BIN)/python benchmarks/memory.py 1000,10000,100000,1000000

bench-full: bench  ## The same at full size.
	$(BIN)/python benchmarks/encoding.py $(DATA)/sms_spam.parquet 5000 5
	$(BIN)/python benchmarks/prediction.py $(DATA)/sms_spam.parquet 5000 5
	$(BIN)/python benchmarks/training.py $(DATA)/sms_spam.parquet 4000 5
	$(BIN)/python benchmarks/mixed_users.py $(DATA)/sms_spam.parquet 8,64,256
	$(BIN)/python benchmarks/adapters_together.py $(DATA)/sms_spam.parquet 64 32 5

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

.venv/installed-bench: .venv/installed
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[offline,onnx,bench]'
	@touch $@
