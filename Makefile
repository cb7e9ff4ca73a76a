# Everything a user types. `make help` lists it; each target sets up what it needs.
PYTHON ?= python3
VENV ?= .venv
PY := $(VENV)/bin/python
PIP := $(PY) -m pip install --quiet --disable-pip-version-check
MIRROR = $${UV_DEFAULT_INDEX:-$${PIP_INDEX_URL:-$$($(PY) -m pip config get global.index-url 2>/dev/null)}}
RTML := $(PY) -m rtml
# handed to the shell as they are and quoted there, so that blanks and quotes survive
export USE_CASE SOURCE SYMBOLS PARAMS PROFILE RUN
PIPELINE := $(RTML) run "$$RUN" --profile "$$PROFILE" --use-case "$$USE_CASE" --source "$$SOURCE" --symbols "$$SYMBOLS" --params "$$PARAMS"
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help
.PHONY: help env run-all run-01 run-02 run-03 run-04 run-05 report lab serve live stores advise runs notebooks test test-deep mutants test-extras scale test-notebooks lint bench ci clean

help:  ## this list; variables: USE_CASE= SOURCE= SYMBOLS= RUN= PROFILE= PARAMS="KEY=VALUE KEY='a b'"
	@sed -n 's/^\([a-z0-9-]*\)[a-z0-9 -]*:.*## /\1 - /p' Makefile | awk -F ' - ' '{printf "  make %-15s %s\n", $$1, $$2}'

env: $(VENV)/.ready  ## set up the environment from requirements.lock (about three minutes: everything is compiled once)

$(VENV)/.ready: requirements.lock .ci/uv.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("rtml needs Python 3.11 or newer, %s is %s: install one and name it, for example make env PYTHON=python3.12" % (sys.executable, sys.version.split()[0]))'
	@echo "rtml: setting up $(VENV), once"
	@$(PY) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || $(PYTHON) -m venv --clear $(VENV)
	@echo "rtml: installing the versions of requirements.lock, hashes checked (a dot is four seconds)"
	@(while sleep 4 && kill -0 $$$$; do printf .; done 2>/dev/null) & trap "kill $$!" EXIT; { $(PIP) --require-hashes -r .ci/uv.lock && UV_DEFAULT_INDEX="$(MIRROR)" $(VENV)/bin/uv pip sync --quiet --compile-bytecode --python $(PY) --require-hashes requirements.lock; } 2>$(VENV)/uv.log \
	  || { echo "rtml: uv is not to be had here (see $(VENV)/uv.log), going on with pip: about a minute"; $(PIP) --require-hashes -r requirements.lock; }
	@$(PIP) --no-deps --no-build-isolation -e .
	@$(PY) -m compileall -q rtml; $(PY) -m rtml.pipeline.compiling || echo "rtml: kernels are compiled when they are first used"
	@touch $@ && echo "rtml: ready"

run-all: env  ## the main job: five notebooks in sequence, then runs/<RUN>/report.html
	@$(PIPELINE)

run-01 run-02 run-03 run-04 run-05: env  ## one notebook of the five (run-01 ... run-05) in the run's folder
	@$(PIPELINE) --only $(@:run-%=%)

report: env  ## write the report of a run again (RUN=latest unless given)
	@$(RTML) report "$$RUN"

lab: env  ## JupyterLab at the root, on copies of the notebooks in lab/, after a first demo run (LAB_ARGS="--no-browser")
	@$(RTML) lab $(LAB_ARGS)

serve: env  ## keep the newest run's champion up behind HTTP until Ctrl-C (SERVE_ARGS="--port 8000")
	@$(RTML) serve "$$RUN" $(SERVE_ARGS)

live: env  ## follow a source, learn and serve until Ctrl-C (SOURCE=kraken SYMBOLS= RUN=live LIVE_ARGS="--speed 10 --port 8000")
	@$(RTML) live "$$RUN" --use-case "$$USE_CASE" --source "$$SOURCE" --symbols "$$SYMBOLS" $(LIVE_ARGS)

stores: env  ## store what a run's questions were asked with, and compare what was served with it (RUN=latest unless given)
	@$(RTML) materialize "$$RUN"
	@$(RTML) check "$$RUN"

advise: env  ## how often, and how, should a model of this stream be trained? (RUN=latest ADVISE_ARGS="--target sign --few")
	@$(RTML) advise "$$RUN" $(ADVISE_ARGS)

runs: env  ## list the runs with their headline metrics, or compare two (RUNS_ARGS="dev fraud")
	@$(RTML) runs $(RUNS_ARGS)

notebooks: env  ## run the notebooks in place with their defaults and store what they print and draw
	@$(RTML) notebooks

test: env  ## every test
	@$(PY) -m pytest -n 2 --dist loadfile -q

test-deep: env build/deep/.ready  ## not in "make test", long: 5,000 requests made from OpenAPI, storms of faults and stops, full disks, kills, 500 flipped bits, a live run under load, a version reproduced from its lock
	@$(PY) tests/deep/fuzz_http.py build/deep/bin/st
	@RTML_DEEP=1 $(PY) -m pytest -q tests/usecases/crypto/exchange/test_chaos.py tests/usecases/crypto/exchange/test_stalls.py tests/serving/live/test_live.py tests/integration/test_main_job.py tests/integrations/test_reproduce.py tests/integrations/test_groups.py tests/serving/test_workers.py tests/serving/test_connections.py tests/store/test_protocols.py tests/training/test_trainer.py
	@$(PY) tests/deep/load.py
	@$(PY) tests/deep/hard_ground.py

mutants: env  ## break a rule at a time and see its tests fail; lists who survives (twenty minutes)
	@$(PY) tests/deep/mutants.py

build/deep/.ready: .ci/schemathesis.lock
	@$(PYTHON) -m venv --clear build/deep
	@build/deep/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

scale: env build/extras-spark/.ready  ## windows of cards on a Spark of two workers beside one process: rows/s, the same bits, from which size on a cluster pays (Java 17)
	@build/extras-spark/bin/python -W ignore benchmarks/scale_spark.py

test-extras: env build/extras-ray/.ready build/extras-mlflow/.ready build/extras-spark/.ready  ## what needs more than the lock: the advisor on a real Ray, the mirror in a real MLflow server, streams on a real Spark; all listen on this machine alone
	@build/extras-ray/bin/python -m pytest -q -o filterwarnings=default tests/extras/test_ray.py
	@RTML_EXTRAS=1 $(PY) -m pytest -q tests/extras/test_mlflow.py
	@build/extras-spark/bin/python -m pytest -q -o filterwarnings=default tests/extras/test_spark.py

build/extras-mlflow/.ready: .ci/extras-mlflow.lock
	@$(PYTHON) -m venv --clear build/extras-mlflow
	@UV_DEFAULT_INDEX="$(MIRROR)" $(VENV)/bin/uv pip sync --quiet --python build/extras-mlflow/bin/python --require-hashes $< \
	  || build/extras-mlflow/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

build/extras-ray/.ready: requirements.lock .ci/extras-ray.lock
	@$(PYTHON) -m venv --clear build/extras-ray
	@UV_DEFAULT_INDEX="$(MIRROR)" $(VENV)/bin/uv pip install --quiet --compile-bytecode --python build/extras-ray/bin/python --require-hashes -r requirements.lock -r .ci/extras-ray.lock \
	  || build/extras-ray/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock -r .ci/extras-ray.lock
	@build/extras-ray/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

# pyspark comes as its source, which is packed here: about five minutes
build/extras-spark/.ready: requirements.lock .ci/extras-spark.lock
	@java -version >/dev/null 2>&1 || { echo "rtml: Spark needs Java 17 or newer: install one, such as openjdk-17-jre-headless"; exit 1; }
	@$(PYTHON) -m venv --clear build/extras-spark
	@for file in requirements.lock .ci/extras-spark.lock; do \
	  UV_DEFAULT_INDEX="$(MIRROR)" $(VENV)/bin/uv pip install --quiet --compile-bytecode --python build/extras-spark/bin/python --no-build-isolation --require-hashes -r $$file \
	  || build/extras-spark/bin/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --require-hashes -r $$file || exit 1; done
	@build/extras-spark/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

test-notebooks: env  ## the notebooks only: format, one run of the main job against what is stored, then nbval cell by cell
	@$(PY) -m pytest -q tests/integration/test_notebooks.py
	@RTML_HOME=build/nbval RTML_QUIET=1 $(PY) -m pytest --nbval --nbval-current-env --nbval-cell-timeout=120 -q -p no:xdist -o addopts= -o filterwarnings=default notebooks/0*.ipynb

lint: env  ## ruff: rules and format; pyrefly: types, as strict per room as pyproject.toml says
	@$(VENV)/bin/ruff check . && $(VENV)/bin/ruff format --check . && $(VENV)/bin/pyrefly check --python-interpreter-path $(PY)

bench: env  ## one table of every hot path: ours, the best peer, ratio, goal, MISSED (BENCH="log http"); details: python benchmarks/bench_*.py
	@$(PY) benchmarks/table.py $(BENCH)

ci: lint test  ## what must pass before a change goes in

clean:  ## remove the environment and caches; runs/ and lab/ stay, unless RUNS=1
	@rm -rf $(VENV) build *.egg-info .pytest_cache .ruff_cache .hypothesis && find . -name __pycache__ -type d -prune -exec rm -rf {} +
	@$(if $(filter 1,$(RUNS)),rm -rf runs lab,! test -e runs && ! test -e lab || echo "rtml: runs/ and lab/ are kept: make clean RUNS=1 removes them too")
