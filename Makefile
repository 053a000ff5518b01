.DEFAULT_GOAL := help
SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
# Stages run `python`; this makes it the one of .venv.
export PATH := $(CURDIR)/$(BIN):$(PATH)
export MLFLOW_DISABLE_TELEMETRY := true
HOST := 127.0.0.1
UI_PORT := 5000
SERVE_PORT := 5001
SERVER_PORT := 5000
ALIAS := candidate
REQUIREMENTS := requirements.txt

.PHONY: help setup repro experiment experiments retrain doctor report compare monitor quality test test-all test-ray test-team lint format docs ui serve server audit lock

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

setup: $(VENV)/.installed .dvc/config.local ## create .venv and install requirements.txt; REQUIREMENTS=requirements-hashes.txt checks every file

repro: setup ## run the whole pipeline and print the results
	python -m MLOps doctor
	@python -m MLOps recover
	dvc repro
	@python -m MLOps summary

experiment: setup ## try parameters without the test span: SET="-S agents.ppo.gamma=0.9" NAME=patient
	dvc exp run $(if $(NAME),--name $(NAME)) $(SET) choose_agent

experiments: setup ## compare the experiments
	dvc exp show --no-pager --only-changed --drop '^((data|models|reports)/|params.yaml|Created|State|Executor|cagr)'

retrain: setup ## run the pipeline on the newest bars, commit what changed; PUSH=--push pushes it
	python -m MLOps retrain $(PUSH)

doctor: setup ## check the machine, the packages, the data and the store
	python -m MLOps doctor

report: setup ## print where the report page is, and open it
	python -m MLOps report

compare: setup ## compare the candidate with the champion
	python -m MLOps compare

monitor: setup ## compare new bars with those the champion was made on
	@python -m MLOps monitor || [ $$? -eq 3 ] # 3 advises to train again, which is no error of make

quality: setup ## print the quality report of the configured bars
	python -m MLOps quality

test: $(VENV)/.installed-dev lint ## run the linters and all tests but the slow ones
	pytest -m "not slow" --numprocesses 2

test-all: $(VENV)/.installed-dev lint ## run the linters and all tests
	pytest --numprocesses 2

test-team: $(VENV)/.installed-dev $(VENV)/.installed-team ## run the tests on PostgreSQL, S3 and SSH; they need Debian's postgresql and openssh-server
	pytest -m team

test-ray: $(VENV)/.installed-dev $(VENV)/.installed-ray ## run the tests on a Ray cluster of two hosts; they need Debian's iproute2
	pytest -m ray

lint: $(VENV)/.installed-dev ## run ruff, mypy, import-linter and zizmor
	ruff check .
	ruff format --check .
	mypy
	lint-imports --no-cache
	zizmor --offline --quiet .github/workflows

format: $(VENV)/.installed-dev ## format the code with ruff
	ruff format .
	ruff check --fix .

docs: $(VENV)/.installed-docs ## build the documentation site in .cache/site; dead links and anchors are errors
	zensical build --strict --clean
	@echo "open .cache/site/index.html, or run zensical serve"

ui: setup ## start MLflow's pages on http://127.0.0.1:5000, and open the runs
	python -m MLOps ui --host $(HOST) --port $(UI_PORT)

serve: setup ## serve the candidate on http://127.0.0.1:5001, or with ALIAS=champion the champion
	python -m MLOps serve --host $(HOST) --port $(SERVE_PORT) --alias $(ALIAS)

server: setup $(VENV)/.installed-team ## start a team's MLflow server on http://127.0.0.1:5000; docs/scaling.md lists its variables
	python -m MLOps server --host $(HOST) --port $(SERVER_PORT)

audit: $(VENV)/.installed-audit ## list the packages in .cache/sbom.json (CycloneDX), and ask for their known vulnerabilities
	@mkdir -p .cache
	cyclonedx-py requirements requirements.txt --output-format JSON --output-file .cache/sbom.json
	pip-audit --strict --requirement requirements.txt --no-deps --disable-pip

lock: $(VENV)/.installed-dev $(VENV)/.installed-audit ## pin the packages of all requirements*.in
	pip-compile --quiet --upgrade --strip-extras --no-header --no-emit-options --no-emit-index-url \
		--no-emit-find-links --no-emit-trusted-host requirements.in --output-file requirements.txt
	# Drop local version labels such as +cpu, which exist for some machines only.
	sed -i 's/+cpu$$//' requirements.txt
	pip-compile --quiet --upgrade --strip-extras --no-header --no-emit-options --no-emit-index-url \
		--no-emit-find-links --no-emit-trusted-host requirements-dev.in --output-file requirements-dev.txt
	pip-compile --quiet --upgrade --strip-extras --no-header --no-emit-options --no-emit-index-url \
		--no-emit-find-links --no-emit-trusted-host requirements-docs.in --output-file requirements-docs.txt
	pip-compile --quiet --upgrade --strip-extras --no-header --no-emit-options --no-emit-index-url \
		--no-emit-find-links --no-emit-trusted-host requirements-audit.in --output-file requirements-audit.txt
	pip-compile --quiet --upgrade --strip-extras --no-header --no-emit-options --no-emit-index-url \
		--no-emit-find-links --no-emit-trusted-host requirements-ray.in --output-file requirements-ray.txt
	pip-compile --quiet --upgrade --strip-extras --no-header --no-emit-options --no-emit-index-url \
		--no-emit-find-links --no-emit-trusted-host requirements-team.in --output-file requirements-team.txt
	# The same versions as PyPI has them for Linux on x86-64, with CUDA's libraries.
	uv pip compile --quiet requirements.in --constraint requirements.txt --generate-hashes --no-header --no-annotate \
		--python-version 3.11 --python-platform x86_64-unknown-linux-gnu --output-file requirements-hashes.txt

$(VENV)/.installed: $(REQUIREMENTS)
	@python3 -c 'import sys; sys.exit(sys.version_info < (3, 11) and f"expected Python 3.11 or newer, found {sys.version.split()[0]}; install it and try again")'
	python3 -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --requirement $(REQUIREMENTS)
	@touch $@

# By default DVC keeps pickles in a folder that every user of the machine may write. The path must be absolute, because
# queued experiments run in folders of their own.
.dvc/config.local: | $(VENV)/.installed
	dvc config --quiet --local core.site_cache_dir "$(CURDIR)/.cache/dvc"

$(VENV)/.installed-audit: requirements-audit.txt | $(VENV)/bin/python
	$(BIN)/pip install --quiet --disable-pip-version-check --requirement requirements-audit.txt
	@touch $@

$(VENV)/.installed-docs: requirements-docs.txt | $(VENV)/bin/python
	$(BIN)/pip install --quiet --disable-pip-version-check --requirement requirements-docs.txt
	@touch $@

$(VENV)/.installed-team: requirements-team.txt | $(VENV)/.installed
	$(BIN)/pip install --quiet --disable-pip-version-check --requirement requirements-team.txt
	@touch $@

$(VENV)/.installed-ray: requirements-ray.txt | $(VENV)/.installed
	$(BIN)/pip install --quiet --disable-pip-version-check --requirement requirements-ray.txt
	@touch $@

$(VENV)/bin/python:
	python3 -m venv $(VENV)

$(VENV)/.installed-dev: $(VENV)/.installed requirements-dev.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --requirement requirements-dev.txt
	@touch $@
