# klue_sts — `make run` and `make test` set everything up by themselves; Python 3.10 or newer is all they need.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
TORCH_CPU_INDEX ?= https://download.pytorch.org/whl/cpu
# A folder with the real KLUE-STS files; when one lies beside the checkout it is used, else files are downloaded or skipped.
export KLUE_STS_DATA ?= $(abspath $(wildcard ../shared/data/klue))
export OMP_NUM_THREADS ?= 1
export TOKENIZERS_PARALLELISM ?= false
export WANDB_MODE ?= offline
export WANDB_SILENT ?= true
export MPLBACKEND ?= Agg
export HF_HUB_DISABLE_TELEMETRY ?= 1
TEST_ENV := HF_HUB_OFFLINE=1 TRANSFORMERS_OFFLINE=1
# klue: the KLUE-STS files are there; extra: KorSTS, back-translations and the former project's predictions lie beside them
NB_FLAGS := $(strip $(if $(wildcard $(KLUE_STS_DATA)/klue-sts-v1.1_train.json),klue) $(if $(wildcard $(KLUE_STS_DATA)/../nlu_sts/dev_set_score.csv),extra))

.PHONY: help run test nbtest slow bench prep export clean serve lab readme
.DEFAULT_GOAL := help

help: ## show these commands
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort | awk -F'\t' '{printf "  make %-8s %s\n", $$1, $$2}'

# --- installation: torch first and alone (CPU build where there is no NVIDIA GPU), then the rest under constraints.txt
$(VENV)/.torch:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { echo "klue_sts needs Python 3.10 or newer; try: make run PYTHON=python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@if command -v nvidia-smi >/dev/null 2>&1 && nvidia-smi -L >/dev/null 2>&1; \
	then $(PIP) install -q torch==2.13.0; \
	else $(PIP) install -q --no-deps --retries 1 --extra-index-url $(TORCH_CPU_INDEX) torch==2.13.0; fi
	@touch $@

$(VENV)/.run: $(VENV)/.torch settings.ini setup.py constraints.txt
	$(PIP) install -q -c constraints.txt -e ".[train,plot,augment]"
	@touch $@

$(VENV)/.dev: $(VENV)/.torch settings.ini setup.py constraints.txt
	$(PIP) install -q -c constraints.txt -e ".[dev]"
	@touch $(VENV)/.run $@

# --- the two commands
run: $(VENV)/.run ## set up, augment, train from the packaged model, evaluate, score a pair (KLUE-STS where it can be had, else the sample)
	$(BIN)/klue-sts run

test: $(VENV)/.dev ## set up and run every test; ends with real counts
	$(BIN)/python .ci/tree_clean.py $(BIN)
	$(BIN)/python .ci/import_direction.py
	$(TEST_ENV) $(BIN)/python -m pytest -n 2 --dist loadfile --nbflags "$(NB_FLAGS)" -m "not slow and not net" nbs tests

# --- work on the project
nbtest: $(VENV)/.dev ## the notebooks alone, by nbdev's own runner (make test runs the same cells, each counted)
	$(TEST_ENV) $(BIN)/nbdev_test --n_workers 2 $(if $(NB_FLAGS),--flags "$(NB_FLAGS)")

slow: $(VENV)/.dev ## tests that take minutes, in tests/ and in notebooks (cells marked `extra` too are experiments of hours, which have commands of their own)
	$(TEST_ENV) $(BIN)/python -m pytest -m slow tests
	$(TEST_ENV) $(BIN)/python -m pytest --nbflags "$(filter-out extra,$(NB_FLAGS)) slow" $$(grep -l '"#| slow' nbs/*.ipynb)

bench: $(VENV)/.dev ## measurements against peers, as JSON and plots under benchmarks/results
	@for f in benchmarks/bench_*.py benchmarks/*/bench_*.py; do $(BIN)/python $$f || exit 1; done

prep: export clean readme test ## export, clean, README, test: before every commit

export: $(VENV)/.dev ## write klue_sts/ from nbs/
	$(BIN)/nbdev_export

clean: $(VENV)/.dev ## strip notebook noise (outputs stay)
	$(BIN)/nbdev_clean

readme: $(VENV)/.dev ## write README.md from nbs/index.ipynb
	$(BIN)/python .ci/readme.py

serve: $(VENV)/.run ## start the server on http://127.0.0.1:8000
	$(BIN)/uvicorn klue_sts.serve:app --host 127.0.0.1 --port 8000

lab: $(VENV)/.dev ## open the series in JupyterLab
	$(BIN)/jupyter lab nbs
