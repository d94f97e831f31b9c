# Two commands matter: `make book` and `make test`. README.md lists the plain command behind each.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
SITE := _build/html

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PYDEVD_DISABLE_FILE_VALIDATION := 1

.PHONY: help book test lint format serve rehearsal colab refute pins clean
.DEFAULT_GOAL := help

help:  ## list the commands
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## */\t/' | expand -t 12

$(READY): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; $(PYTHON) is $$($(PYTHON) --version 2>&1). Set PYTHON=..."; exit 1; }
	@echo "Installing the pinned packages into $(VENV) (once, a few minutes) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --progress-bar on -r requirements.txt || \
	  { echo "The packages could not be installed: is the package registry within reach?"; exit 1; }
	@touch $@

book: $(READY)  ## execute every chapter and build the site
	@$(BIN)/python -m speech_interp openai/whisper-tiny.en
	@$(BIN)/jupyter-book build . -W -n --keep-going || \
	  { echo "The book did not build: the first error above says why."; exit 1; }
	@echo "The book is at $(SITE)/index.html ($$(du -sh $(SITE) | cut -f1))"

test: $(READY)  ## lint, unit tests, hygiene of notebooks; then the checks on the built site
	@$(MAKE) --no-print-directory lint
	$(BIN)/python -m pytest tests --ignore tests/site --ignore tests/browser --ignore tests/colab
	@$(MAKE) --no-print-directory book
	$(BIN)/python -m pytest tests/site tests/browser

lint: $(READY)  ## ruff, on code and notebooks; mypy, on the types of the package
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(READY)  ## let ruff put code and notebooks in order
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

serve: book  ## build, then show the site on http://localhost:8000
	@$(BIN)/python -m http.server 8000 --bind 127.0.0.1 --directory $(SITE)

rehearsal: $(READY)  ## every notebook with full-size random checkpoints: time and memory
	$(BIN)/python tests/rehearsal.py

colab: book  ## every notebook for readers as on Colab, in an environment of its own
	$(BIN)/python -m pytest tests/colab -s

refute: $(READY)  ## compute the claims of every chapter again under other conditions
	$(BIN)/python -m refutation

pins: $(READY)  ## write what is installed now into requirements.txt
	@{ echo "# The exact versions the book is built with; written by \`make pins\`."; \
	  $(BIN)/pip freeze --exclude-editable | sed 's/+cpu$$//'; echo "-e .[book,test]"; } > requirements.new
	@mv requirements.new requirements.txt

clean:  ## remove the environment and everything built
	rm -rf $(VENV) _build .pytest_cache .ruff_cache
