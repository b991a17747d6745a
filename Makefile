# `make help` lists the targets
.DEFAULT_GOAL := help
PYTHON ?= python3
PROFILE ?= mini
ENGINE ?= local
ONLY ?=
FRESH ?=
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Packages are compiled when they are first imported; where that is not kept, each process would compile torch anew
unexport PYTHONDONTWRITEBYTECODE

# An active conda environment that has mixlib (environment.yml) is used as it is; otherwise we make our own
CONDA := $(if $(CONDA_PREFIX),$(shell "$(CONDA_PREFIX)/bin/python" -Ic "import mixlib" 2>/dev/null && echo yes))
BIN := $(if $(CONDA),$(CONDA_PREFIX)/bin,.venv/bin)
READY := $(if $(CONDA),,.venv/.ready)
PY := "$(BIN)/python"

# Notebook kernels start in other folders, so these paths are made absolute, as seen from here
here = $(if $(filter-out /% ~%,$(firstword $($(1)))),$(CURDIR)/$($(1)),$($(1)))
override MIXLIB_DATA := $(call here,MIXLIB_DATA)
override MIXLIB_MODELS := $(call here,MIXLIB_MODELS)
override MIXLIB_RESULTS := $(call here,MIXLIB_RESULTS)
export MIXLIB_DATA MIXLIB_MODELS MIXLIB_RESULTS

.PHONY: help reproduce site test test-site test-install lab notebooks lint lock clean

help:  ## show this list
	@sed -nE 's/^([a-z-]+):[^#]*## (.*)/\1\t\2/p' Makefile | awk -F '\t' '{printf "%-14s%s\n", $$1, $$2}'

reproduce: $(READY)  ## run the notebooks headless from the committed records, retrain a few of those records, and build a site
	$(PY) -m mixlib reproduce --profile "$(PROFILE)" --engine "$(ENGINE)" $(if $(ONLY),--only "$(ONLY)") \
	  $(if $(filter-out 0 1,$(FRESH)),$(error FRESH must be 0 or 1)) $(if $(filter 1,$(FRESH)),--fresh) $(if $(filter 0,$(FRESH)),--resume)

site: $(READY)  ## build the book in build/site, from the committed notebooks and records
	HF_HUB_OFFLINE=1 $(PY) -m mixlib site

test-site: $(READY)  ## build the site and check every page in a browser
	HF_HUB_OFFLINE=1 $(PY) -m pytest -m browser

test: $(READY)  ## lint, unit tests (with type checks), then every committed notebook against its outputs
	$(PY) -m ruff check . && $(PY) -m ruff format --check .
	HF_HUB_OFFLINE=1 $(PY) -m pytest -n 3 --dist worksteal
	HF_HUB_OFFLINE=1 TQDM_DISABLE=1 JUPYTER_DEFAULT_PROVISIONER_NAME=mixlib-fork \
	  $(PY) -m pytest -n 2 --dist loadfile --nbval notebooks

test-install: $(READY)  ## check that MixupTrainer installs next to an older torch and pandas 2, and trains with the oldest transformers it allows (needs the package index)
	$(PY) -m tests.install

lab: $(READY)  ## open JupyterLab on the notebooks
	"$(BIN)/jupyter" lab --notebook-dir=notebooks

notebooks: $(READY)  ## execute the notebooks in place at profile mini, as they are committed
	$(PY) -m mixlib update-notebooks $(if $(ONLY),--only "$(ONLY)")

lint: $(READY)  ## format, fix what ruff can fix, and check types (changes files)
	$(PY) -m ruff check --fix . && $(PY) -m ruff format . && $(PY) -m mypy

# without the host that the packages came from
lock: $(READY)  ## pin every package in requirements.lock
	$(PY) -m pip freeze --exclude-editable > requirements.new
	grep -v ' @ ' requirements.new | sed 's/+cpu$$//' > requirements.lock && rm requirements.new

clean:  ## delete the environment, builds and caches
	rm -rf .venv build .pytest_cache .ruff_cache .mypy_cache .hypothesis

.venv/.ready: pyproject.toml requirements.lock
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is " + sys.version.split()[0] + "; say make PYTHON=...") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --no-compile --constraint requirements.lock torch
	.venv/bin/python -m pip install --quiet --no-compile --constraint requirements.lock --editable '.[offline,ray,reproduce,site,test]'
	touch $@
