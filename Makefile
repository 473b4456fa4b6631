# Needs make and Python >= 3.11; everything else is installed into .venv, pinned by requirements.lock.

PYTHON ?= python3
PROCESSES ?= 3
DATA_DIR ?= ../shared/data
BIN := .venv/bin
READY := .venv/.installed

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup demo kafka-demo secrets test check accept accept-embedded accept-kafka bench bench-growth bench-kafka bench-detectors bench-estimates bench-dashboard bench-incidents bench-auto bench-models bench-retraining chaos calibrate states dashboards lock clean

help: ## Lists what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(READY) ## Creates .venv with the locked dependencies; the others do this by themselves

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' || { \
	  echo "driftline needs Python 3.11, 3.12 or 3.13, but $(PYTHON) is: $$($(PYTHON) --version 2>&1)"; \
	  echo "Name another one: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; } >&2
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

demo: $(READY) ## Streams a year of real flights and shows what drifted; DATA=FILE takes your own file
	$(BIN)/driftline demo $(if $(DATA),--data "$(DATA)")

kafka-demo: $(READY) ## The same flights over Apache Kafka and two workers; needs Java 17 and Maven, no Docker
	$(BIN)/python -m compose.demo

secrets: ## Writes the secrets that compose/compose.yaml asks for into compose/secrets, where there are none
	@mkdir -p -m 700 compose/secrets
	@for name in dashboard_token grafana_password; do \
	  test -s compose/secrets/$$name || $(PYTHON) -c 'import secrets; print(secrets.token_hex(24), end="")' > compose/secrets/$$name; \
	  chmod 644 compose/secrets/$$name; \
	done

test: $(READY) ## Runs the tests, some on a real Kafka (Java 17, Maven); ARGS=... goes to pytest
	OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest -n $(PROCESSES) --dist worksteal $(ARGS)

check: $(READY) ## Lints, checks the format and the types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

accept: $(READY) ## Runs everything over the real data sets in DATA_DIR
	$(MAKE) --jobs=2 --output-sync=line accept-embedded accept-kafka

accept-embedded: $(READY) ## Half of accept: the command line over files
	$(BIN)/python -u benchmarks/accept.py "$(DATA_DIR)"

accept-kafka: $(READY) ## Half of accept: the worker against the embedded engine
	$(BIN)/python -u benchmarks/kafka_accept.py "$(DATA_DIR)"

bench: $(READY) ## Measures all that is promised about speed beside its peers, into docs/speed.md; half an hour, needs Java 17 and Maven
	$(BIN)/python -u benchmarks/speed.py "$(DATA_DIR)"

bench-growth: $(READY) ## Measures what an event costs by features, watches, keys, segments, waiting labels, partitions; six minutes
	$(BIN)/python benchmarks/curves.py --out docs/growth.md

bench-kafka: $(READY) ## Measures the worker's latency from an event to its alert, and its memory; eight minutes
	$(BIN)/python benchmarks/kafka_latency.py
	$(BIN)/python benchmarks/kafka_memory.py

chaos: $(READY) ## Kills, pauses, adds and removes workers and restarts the broker over 200,000 flights; five minutes
	$(BIN)/python benchmarks/kafka_chaos.py

# who races: the others are far behind, and some of them slow
BOTH = ADWIN,CUSUM,GMA,GMA min=3000,PageHinkley,SEED,e_detector up,e_detector up odds=1.25 warm_up=3000
BOTH := $(BOTH),e_detector up odds=1.6 warm_up=3000
NUMBERS = $(BOTH),chi2,conformal,conformal up,cusum,cusum up,cusum up k=.125,cvm,ewma up,ewma up lambda_=.005
NUMBERS := $(NUMBERS),glr,glr up,rank,seed
ERRORS = $(BOTH),CUSUM min=3000,ECDD,ECDD min=3000,EWMAChart,EWMAChart min=3000,FHDDM
ERRORS := $(ERRORS),ecdd,ecdd memory=150,ecdd memory=400,hddm_w

bench-detectors: $(READY) ## Measures false alarms, delays and speed of the detectors beside other libraries; two hours
	$(BIN)/python benchmarks/in_control.py --out docs/detectors/in_control.md
	$(BIN)/python benchmarks/out_of_control.py --begin normal --only "$(NUMBERS)" --streams 1000 --in-control 48 --seconds 30 --out docs/detectors/out_of_control.md
	$(BIN)/python benchmarks/out_of_control.py --begin error --only "$(ERRORS)" --streams 2000 --in-control 120 --seconds 120 --out docs/detectors/out_of_control_errors.md
	$(BIN)/python benchmarks/elec2_drift.py "$(DATA_DIR)" --out docs/detectors/elec2.md
	$(BIN)/python benchmarks/detector_speed.py --out docs/detectors/speed.md

bench-incidents: $(READY) ## Breaks the flights in five ways and known columns in many: is the right cause named? Three minutes
	$(BIN)/python benchmarks/faults.py --out docs/faults.md
	$(BIN)/python benchmarks/attribution.py --out docs/attribution.md

bench-dashboard: $(READY) ## Measures what a dashboard and scraped metrics take from the stream, and how quickly a long log is read
	$(BIN)/python benchmarks/dashboard.py
	$(BIN)/python benchmarks/metrics_cost.py

bench-estimates: $(READY) ## Measures how often the estimates' intervals hold the loss that comes true, over DATA_DIR
	$(BIN)/python benchmarks/estimates.py "$(DATA_DIR)" --out docs/estimates_coverage.md

bench-auto: $(READY) ## Measures `use = "auto"` beside each model of its set, over DATA_DIR; ten minutes
	$(BIN)/python benchmarks/auto.py "$(DATA_DIR)" --out docs/auto.md

bench-models: $(READY) ## Measures the compiled classifiers beside river's, over DATA_DIR; five minutes
	$(BIN)/python benchmarks/compiled_models.py "$(DATA_DIR)" --out docs/compiled_models.md

bench-retraining: $(READY) ## Retraining by the loop against none and by the calendar over DATA_DIR, false promotions, the stream's rate; half an hour
	$(BIN)/python benchmarks/retraining.py "$(DATA_DIR)" --out docs/retraining_gain.md
	$(BIN)/python benchmarks/promotions.py --out docs/promotions.md
	$(BIN)/python benchmarks/retraining_rate.py --out docs/retraining_rate.md

calibrate: $(READY) ## Simulates the tables that some detectors' limits rest on, and prints them; takes long
	$(BIN)/python benchmarks/error_levels.py
	$(BIN)/python benchmarks/bounded_levels.py
	$(BIN)/python benchmarks/rank_levels.py

dashboards: $(READY) ## Writes the dashboards for Grafana anew, from compose/dashboards.py
	$(BIN)/python -m compose.dashboards

states: $(READY) ## Writes tests/detector_states.npz anew, after a detector's state has changed its form
	$(BIN)/python -m tests.test_detector_states

lock: $(READY) ## Pins the dependencies of pyproject.toml anew; ARGS=--upgrade takes the newest
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --all-extras --generate-hashes --no-header \
	  --no-emit-index-url --no-emit-find-links $(ARGS) pyproject.toml -o requirements.lock

clean: ## Removes .venv, caches and the demo's files
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis build demo *.egg-info
	find stream_app detectors tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
