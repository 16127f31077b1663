# Every target makes the virtual environment if it is missing. `make demo` and `make test` are all a newcomer needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export DAGSTER_HOME ?= $(CURDIR)/.dagster_home
export DAGSTER_DISABLE_TELEMETRY := 1
# OpenMP threads spin while others run; the steps bring their own processes where cores allow.
export OMP_NUM_THREADS ?= 1

.PHONY: demo test test-fast test-cluster test-faults lint docs bench ui data prune clean
demo test test-fast test-cluster test-faults lint docs bench ui data prune: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

$(DAGSTER_HOME)/dagster.yaml: dagster.yaml
	mkdir -p $(DAGSTER_HOME)
	cp dagster.yaml $@

demo: export FIREFUSION_STUDY := data/demo
demo: export FIREFUSION_EXECUTOR := in_process
demo: $(DAGSTER_HOME)/dagster.yaml  ## the whole lineage for each augmentation config of data/demo
	$(BIN)/firefusion run $(basename $(notdir $(wildcard data/demo/augmentations/*.yaml)))
	$(BIN)/firefusion report

test:  ## the tests
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

test-fast:  ## the tests that neither train nor start processes: under 90 s on two cores
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not slow"

test-cluster: export FIREFUSION_TEST_CLUSTER := 1
test-cluster:  ## one key on celery's workers with Redis, PostgreSQL and a bucket, of which some are killed: 7 minutes
	@missing=""; \
	command -v redis-server > /dev/null || missing="$$missing redis-server"; \
	ls /usr/lib/postgresql/*/bin/initdb > /dev/null 2>&1 || missing="$$missing postgresql"; \
	if [ -n "$$missing" ] && [ "$$(id -u)" -ne 0 ]; then echo "first: sudo apt-get install$$missing"; exit 1; fi; \
	if [ -n "$$missing" ]; then apt-get update --quiet=2 && apt-get install --quiet=2 --yes $$missing; fi
	$(BIN)/python -m pytest -rs -m cluster firefusion_assets_tests/orchestration/test_cluster.py

FAULTS := $(addprefix firefusion_assets_tests/,$(addsuffix .py,artifacts/test_store artifacts/test_bucket_store \
	core/test_workers $(addprefix orchestration/test_,bucket_away celery_worker damage devices fanout first_runs \
	full_disk kills orphans places_and_times shell slots))) \
	firefusion_assets_tests/test_deploy.py firefusion_assets_tests/inpainting/test_shards.py \
	firefusion_assets_tests/orchestration/test_stable_diffusion_lineage.py::test_fine_tuning_killed_in_the_shell_goes_on_to_the_same_weights
test-faults:  ## every fault of docs/reliability.md, and what runs many processes for minutes; as root for those that mount a disk
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m "slow or faults" $(FAULTS)

lint:  ## ruff, mypy, and the direction of imports
	$(BIN)/ruff check firefusion_assets firefusion_assets_tests benchmarks examples
	$(BIN)/ruff format --check firefusion_assets firefusion_assets_tests benchmarks examples
	$(BIN)/mypy
	$(BIN)/lint-imports

docs:  ## the pages of docs/ as a site in build/site
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

bench:  ## measurements against plain baselines, on CPU or GPU as found
	$(BIN)/python -m benchmarks

ui: $(DAGSTER_HOME)/dagster.yaml  ## Dagster on http://localhost:3000, with the study of FIREFUSION_STUDY, by default the demo
	@$(BIN)/firefusion ui

data:  ## the active fire data set into data/activefire/input; REGIONS="Oceania Europe" for parts of the big set
	-$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[data]'
	$(BIN)/firefusion data $(REGIONS)

prune:  ## lists, and after asking removes, the objects that no config of FIREFUSION_STUDY (default: the demo) uses
	$(BIN)/firefusion prune

clean:  ## removes what the demo made, and the virtual environment
	rm -rf $(VENV) .dagster_home data/demo/artifacts
