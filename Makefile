.DEFAULT_GOAL := help
SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
# Stages run `python`; with this on the PATH it is the environment's.
export PATH := $(CURDIR)/$(BIN):$(PATH)
export MLFLOW_DISABLE_TELEMETRY := true
HOST := 127.0.0.1
UI_PORT := 5000
SERVE_PORT := 5001
ALIAS := candidate
MODEL := from MLOps.config import load_params; print(load_params().tracking.registered_model)

.PHONY: help setup repro doctor quality test test-all lint format ui serve lock readme deps

help: ## show the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

setup: $(VENV)/.installed ## make .venv and install requirements.txt

repro: setup ## run the whole pipeline, then say what came of it
	python -m MLOps doctor
	dvc repro
	@python -m MLOps.pipelines.summary

doctor: setup ## check what a run needs of this machine, and say what to do about what is missing
	python -m MLOps doctor

quality: setup ## the quality report of the configured bars
	dvc repro validate_data
	@cat reports/records/validate_data/quality.md

test: $(VENV)/.installed-dev lint ## everything CI runs
	pytest -m "not slow" --numprocesses 2

test-all: $(VENV)/.installed-dev lint ## the long tests too
	pytest --numprocesses 2

lint: $(VENV)/.installed-dev ## ruff, mypy, and the layers of the package
	ruff check .
	ruff format --check .
	mypy
	lint-imports --no-cache

format: $(VENV)/.installed-dev ## let ruff write the code's layout
	ruff format .
	ruff check --fix .

ui: setup ## MLflow's pages on loopback
	mlflow ui --host $(HOST) --port $(UI_PORT) --backend-store-uri "$$(python -m MLOps.experiment_tracking.address)"

serve: setup ## the registered model on loopback; ALIAS=champion for another than the candidate
	MLFLOW_TRACKING_URI="$$(python -m MLOps.experiment_tracking.address)" mlflow models serve --env-manager local \
		--host $(HOST) --port $(SERVE_PORT) --model-uri "models:/$$(python -c "$(MODEL)")@$(ALIAS)"

lock: $(VENV)/.installed-dev ## pin what requirements.in and requirements-dev.in ask for
	pip-compile --quiet --upgrade --strip-extras --no-header --no-emit-options --no-emit-index-url \
		--no-emit-find-links --no-emit-trusted-host requirements.in --output-file requirements.txt
	# The version of a build for one kind of machine is not the version to pin.
	sed -i 's/+cpu$$//' requirements.txt
	pip-compile --quiet --upgrade --strip-extras --no-header --no-emit-options --no-emit-index-url \
		--no-emit-find-links --no-emit-trusted-host requirements-dev.in --output-file requirements-dev.txt

readme: $(VENV)/.installed-dev ## write the README's list of files, as their docstrings have it
	python -m tests.contracts.readme

deps: $(VENV)/.installed-dev ## write each stage's code dependencies into dvc.yaml, as its imports have them
	python tests/contracts/imports.py

$(VENV)/.installed: requirements.txt
	@python3 -c 'import sys; sys.exit(sys.version_info < (3, 11) and f"expected Python 3.11 or newer, found {sys.version.split()[0]}; install it and try again")'
	python3 -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --requirement requirements.txt
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed requirements-dev.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --requirement requirements-dev.txt
	@touch $@
