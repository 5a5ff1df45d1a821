# What a person or CI runs here. `make` alone prints this list.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
VLLM := .venv-vllm
# Two OpenMP threads on shared cores spin and are slower than one.
export OMP_NUM_THREADS ?= 1

.DEFAULT_GOAL := help
.PHONY: help setup demo demo-arc smoke test docs test-vllm test-machines test-browser check soak \
	tiny-model tiny-grids-model tiny-seeds tiny-grids-seeds clean

help: ## print this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 16

setup: $(VENV)/ready ## make the virtual environment and install seal into it

$(VENV)/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	# torch first and pinned: anything else would pull in its newest build.
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt torch
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev,plot,constrained]'
	touch $@

demo: setup ## two rounds of RL on the shipped model: a table, a plot, what RL kept (minutes)
	PATH="$(CURDIR)/$(BIN):$$PATH" examples/demo.sh --slots 64

demo-arc: setup ## the same on small grids: which tools a few-shot learner calls (minutes)
	PATH="$(CURDIR)/$(BIN):$$PATH" examples/demo_arc.sh

smoke: setup ## one pipe through the six commands, under a minute
	PATH="$(CURDIR)/$(BIN):$$PATH" examples/smoke.sh

test: setup ## the test suite
	$(BIN)/pytest -m 'not soak' -n 2 --dist worksteal

$(VLLM)/ready: pyproject.toml tests/vllm/requirements.txt
	$(PYTHON) -m venv $(VLLM)
	$(VLLM)/bin/pip install --quiet --disable-pip-version-check --no-deps --requirement tests/vllm/requirements.txt
	$(VLLM)/bin/pip install --quiet --disable-pip-version-check --no-deps --editable .
	touch $@

test-vllm: $(VLLM)/ready ## real vLLM on the CPU, in an environment of its own (2 GB, minutes)
	$(VLLM)/bin/python -m pytest tests/vllm

docs: setup ## every shell block of README and guides, as printed (two minutes)
	$(BIN)/pytest tests/documents

$(VENV)/machines: $(VENV)/ready
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt \
		--editable '.[ray,s3,sftp]' 'moto[server,s3]'
	touch $@

test-machines: $(VENV)/machines ## Ray clusters, S3 and SFTP on this machine (350 MB more, minutes)
	$(BIN)/pytest tests/machines -m 'not soak'

test-browser: setup ## the page of `seal view` in headless Chromium, where there is one (seconds)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt selenium
	$(BIN)/pytest -s tests/browser

check: setup ## format, lint, types, tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(MAKE) test

soak: $(VENV)/machines ## what is too long for CI: random kills, flipped bits, Slurm, two hosts (some as root)
	$(BIN)/pytest -m soak
	$(BIN)/pytest -m soak tests/machines

tiny-model: setup ## pretrain the shipped model again (about 15 minutes on one core)
	$(BIN)/python examples/tiny_world/pretrain.py --out seal_cli/tiny

tiny-grids-model: setup ## pretrain the shipped grid model again (about 15 minutes on one core)
	$(BIN)/python examples/tiny_grids/pretrain.py --out seal_cli/tiny-grids

tiny-seeds: setup ## the tiny world's figures: five run seeds (about 5 minutes on one core)
	PATH="$(CURDIR)/$(BIN):$$PATH" examples/tiny_world/seeds.sh

tiny-grids-seeds: setup ## the grid world's figures: five run seeds (about half an hour on one core)
	PATH="$(CURDIR)/$(BIN):$$PATH" examples/tiny_grids/seeds.sh

clean: ## remove what make made (not your stores)
	rm -rf $(VENV) $(VLLM) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
