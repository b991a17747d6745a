# make reproduce | site | test | test-site | lab | notebooks | lint | lock | clean
PYTHON ?= python3
PROFILE ?= smoke
ENGINE ?= local
ONLY ?=
FRESH ?=
PY := .venv/bin/python
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: reproduce site test test-site lab notebooks lint lock clean

reproduce: .venv/.ready  ## run the notebooks headless and make the site of them
	$(PY) -m mixlib reproduce --profile $(PROFILE) --engine $(ENGINE) $(if $(ONLY),--only $(ONLY)) \
	  $(if $(filter 1,$(FRESH)),--fresh) $(if $(filter 0,$(FRESH)),--resume)

site: .venv/.ready  ## the book in build/site, from the committed notebooks and records
	HF_HUB_OFFLINE=1 $(PY) -m mixlib site

test-site: .venv/.ready  ## make the site and look at every page of it in a browser
	HF_HUB_OFFLINE=1 $(PY) -m pytest -m browser

test: .venv/.ready  ## lint, unit tests, then every committed notebook against its outputs
	$(PY) -m ruff check . && $(PY) -m ruff format --check .
	HF_HUB_OFFLINE=1 $(PY) -m pytest -n 2 --dist worksteal
	HF_HUB_OFFLINE=1 TQDM_DISABLE=1 $(PY) -m pytest -n 2 --dist loadfile --nbval notebooks

lab: .venv/.ready  ## open JupyterLab on the notebooks
	.venv/bin/jupyter lab --notebook-dir=notebooks

notebooks: .venv/.ready  ## execute the notebooks at profile mini in place, as they are committed
	$(PY) -m mixlib refresh $(if $(ONLY),--only $(ONLY))

lint: .venv/.ready
	$(PY) -m ruff check --fix . && $(PY) -m ruff format .

# Pins of everything, without the host that any package came from
lock: .venv/.ready
	$(PY) -m pip freeze --exclude-editable | grep -v ' @ ' | sed 's/+cpu$$//' > requirements.lock

clean:
	rm -rf .venv build .pytest_cache .ruff_cache .hypothesis

.venv/.ready: pyproject.toml requirements.lock
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is " + sys.version.split()[0] + "; say make PYTHON=...") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv .venv
	$(PY) -m pip install --quiet --constraint requirements.lock torch==2.13.0
	$(PY) -m pip install --quiet --constraint requirements.lock --editable '.[offline,ray,site,test]'
	touch $@
