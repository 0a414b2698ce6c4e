# Everything a developer types. `make` alone lists the targets.
.DEFAULT_GOAL := help
.PHONY: help install ray run test faults compose-test cameras-check browser-test manifests deploy-check check types fast-tests format \
	lock lock-peers train \
	bench bench-check bench-gateway bench-latency bench-scale bench-peers \
	bench-kills bench-accepts bench-texts bench-objects bench-cameras bench-cluster picture clean
.DELETE_ON_ERROR:

# Any Python from 3.11 on, the newest-named last: python3 is what the user meant.
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
STAMP := .venv/.installed
# What Velox is compared with has an environment of its own, so that nothing of it is ever installed beside Velox.
PEERS := .venv-peers
# So does Ray, with what Velox needs where it runs: its versions are not to decide those of everything else.
RAY := .venv-ray
# What drives the browser of tests/browser is no part of the locked environment, and would be removed from it.
BROWSER := .venv-browser
COMPILE := $(BIN)/uv pip compile -q pyproject.toml --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --custom-compile-command 'make lock'

# An index with CPU-only torch wheels (make install TORCH_INDEX=...): same versions, without 3 GB of CUDA libraries.
TORCH_INDEX ?=
# How many processes run tests side by side, each with servers of its own; WORKERS=0 (for --pdb) runs them in pytest's.
# The fast tests compute, and two keep two cores busy; all others wait for each other most of the time.
WORKERS ?= $(if $(filter check fast-tests,$(MAKECMDGOALS)),2,3)
SIDE_BY_SIDE := -n $(WORKERS) --dist worksteal
# Its folders, without those that are not run: each worker would import their tests, and torch with them.
FAST_TESTS := tests/unit $(wildcard tests/test_*.py)
# Tests start hundreds of processes: what Python has compiled for one serves all.
unexport PYTHONDONTWRITEBYTECODE
# More arguments for pytest (make test ARGS='-k drain'), velox up (make run ARGS='--for 20s') or the benchmark.
ARGS ?=

help: ## Show every target
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(STAMP) ## Create .venv with everything locked in requirements-dev.txt
	@echo 'install: .venv is ready'

$(BIN)/uv:
	@test -n '$(PYTHON)' || { echo 'No Python >= 3.11 found: install one, or name it with make PYTHON=...' >&2; exit 1; }
	@echo 'install: creating .venv with $(PYTHON)'
	@$(PYTHON) -m venv .venv
	@sed -n '/^uv==/,/# via/p' requirements-dev.txt > .venv/uv.txt
	@$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r .venv/uv.txt

# The index of the user's choice has other files, hence other hashes, than the lock.
$(STAMP): requirements-dev.txt pyproject.toml | $(BIN)/uv
	@echo 'install: syncing .venv with requirements-dev.txt'
ifeq ($(TORCH_INDEX),)
	@$(BIN)/uv pip sync -q --python $(BIN)/python --require-hashes requirements-dev.txt
	@$(BIN)/uv pip install -q --python $(BIN)/python --no-deps --no-build-isolation -e .
else
	@$(BIN)/uv pip install -q --python $(BIN)/python --no-verify-hashes --index-strategy unsafe-best-match \
		--index '$(TORCH_INDEX)' -c requirements-dev.txt -e '.[torch,openvino,onnxruntime,text,transformers,imagenet,objects,cameras,gateway,dashboard,otlp,client,dev]'
endif
	@touch $@

$(RAY)/.installed: requirements-ray.txt pyproject.toml | $(STAMP)
	@echo 'ray: installing requirements-ray.txt into $(RAY)'
	@$(BIN)/uv venv -q --clear --python $(BIN)/python $(RAY)
	@$(BIN)/uv pip sync -q --python $(RAY)/bin/python --require-hashes requirements-ray.txt
	@$(BIN)/uv pip install -q --python $(RAY)/bin/python --no-deps -c requirements-dev.txt setuptools
	@$(BIN)/uv pip install -q --python $(RAY)/bin/python --no-deps --no-build-isolation -e .
	@touch $@

ray: $(RAY)/.installed ## Create .venv-ray, where `velox cluster` runs: see docs/cluster.md
	@echo 'ray: $(RAY) is ready'

run: install ## Show the whole pipeline in one terminal; trains a model first if there is none
	@$(BIN)/velox up $(ARGS)

test: install ## Run every test, against real servers started for the purpose
	@echo 'test: preparing the servers (a minute the first time)' && $(BIN)/python -m tests.servers
	@$(BIN)/python -m pytest $(SIDE_BY_SIDE) -m '(not faults or representative) and not cluster and not cameras and not kubernetes and not browser' $(ARGS)

faults: install ## Break every part while records flow, and write what it cost into docs/delivery.md
	@echo 'faults: preparing the servers (a minute the first time)' && $(BIN)/python -m tests.servers
	@$(BIN)/python -m pytest tests/faults --record $(ARGS)

compose-test: install ## Build the image, run both stacks, break them and count (ARGS=api: one; with an engine of its own)
	@TORCH_INDEX='$(TORCH_INDEX)' $(BIN)/python -m tests.compose $(ARGS)

cameras-check: install ray ## Cameras by RTSP, and models, consumers and producers on a real Ray, killed (5 minutes)
	@echo 'cameras-check: preparing the servers (a minute the first time)' && $(BIN)/python -m tests.servers
	@$(BIN)/python -m pytest tests/cameras tests/cluster $(ARGS)

manifests: install ## Write deploy/kubernetes/ from the chart in deploy/helm
	@$(BIN)/python -m tests.deploy.plain

$(BROWSER)/.installed: tests/browser/requirements.txt | $(STAMP)
	@echo 'browser-test: installing what drives the browser into $(BROWSER)'
	@$(BIN)/uv pip install -q --python $(BIN)/python --target $(BROWSER) -r tests/browser/requirements.txt
	@touch $@

browser-test: install $(BROWSER)/.installed ## Look at the dashboard with a real browser (needs the system's Chromium)
	@test -x /usr/bin/chromium || { echo 'No Chromium: apt-get install --no-install-recommends chromium' >&2; exit 1; }
	@PYTHONPATH=$(BROWSER) $(BIN)/python -m pytest tests/browser -rs $(ARGS)

deploy-check: install ## Check all that deploys, and apply it to a real Kubernetes API server (compiles one: 15 minutes the first time)
	@echo 'deploy-check: preparing programs and schemas' && $(BIN)/python -m tests.deploy
	@$(BIN)/python -m pytest tests/deploy -rs $(ARGS)

check: install ## Format, lint, types and the fast tests, which need no server
	@echo 'check: format' && $(BIN)/ruff format -q --check .
	@echo 'check: lint' && $(BIN)/ruff check -q .
	@$(MAKE) --no-print-directory -j2 types fast-tests

types: $(STAMP) ## Types alone
	@echo 'check: types' && $(BIN)/mypy

fast-tests: $(STAMP) ## The fast tests alone
	@echo 'check: fast tests' && $(BIN)/python -m pytest -q $(SIDE_BY_SIDE) $(FAST_TESTS) $(ARGS)

format: install ## Format the code and fix what can be fixed
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

lock: $(BIN)/uv ## Write the four lock files from pyproject.toml (make lock ARGS=--upgrade for the latest versions)
	@$(COMPILE) $(foreach extra,torch openvino onnxruntime imagenet text transformers objects cameras gateway dashboard otlp,--extra $(extra)) -o requirements.txt $(ARGS)
	@$(COMPILE) $(foreach extra,openvino text objects cameras gateway dashboard otlp,--extra $(extra)) -c requirements.txt -o requirements-runtime.txt $(ARGS)
	@$(COMPILE) $(foreach extra,torch openvino onnxruntime imagenet text transformers objects cameras gateway dashboard otlp client dev,--extra $(extra)) \
		-c requirements.txt -o requirements-dev.txt $(ARGS)
	@$(COMPILE) $(foreach extra,ray openvino objects cameras,--extra $(extra)) -c requirements.txt -o requirements-ray.txt $(ARGS)
	@echo 'lock: wrote requirements.txt, requirements-runtime.txt, requirements-dev.txt and requirements-ray.txt'

lock-peers: $(BIN)/uv ## Write benchmarks/peers/requirements.txt (ARGS=--upgrade for the latest versions)
	@$(BIN)/uv pip compile -q benchmarks/peers/requirements.in --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --custom-compile-command 'make lock-peers' -o benchmarks/peers/requirements.txt $(ARGS)
	@echo 'lock-peers: wrote benchmarks/peers/requirements.txt'

train: install ## Train the model and write it to MODEL_PATH
	@$(BIN)/python train.py $(ARGS)

# What a benchmark measures needs a model; its figures are those of a trained one.
model.pth: | $(STAMP)
	@echo 'bench: training a model, as there is none' && $(BIN)/python train.py --all-precisions

bench: install model.pth ## Measure throughput beside the naive design and write it into the documents (10 minutes)
	@$(BIN)/python -m benchmarks.throughput $(ARGS)

bench-check: install model.pth ## Measure a part of it, and fail where Velox has become slower than recorded (2 minutes)
	@$(BIN)/python -m benchmarks.throughput.check $(ARGS)

bench-latency: install model.pth ## Measure latency under five loads, for each way to batch (9 minutes; ARGS=--quick: 1)
	@$(BIN)/python -m benchmarks.latency $(ARGS)

bench-gateway: install ## Measure what the gateway accepts a second, and how soon there are results (6 minutes; ARGS=--record keeps it)
	@$(BIN)/python -m benchmarks.gateway $(ARGS)

bench-scale: install model.pth ## Measure what a record costs as processes, partitions, lag and documents grow (10 minutes)
	@$(BIN)/python -m benchmarks.scale $(ARGS)

$(PEERS)/.installed: benchmarks/peers/requirements.txt | $(STAMP)
	@echo 'bench-peers: installing what Velox is compared with into $(PEERS)'
	@$(BIN)/uv venv -q --clear --python $(BIN)/python $(PEERS)
ifeq ($(TORCH_INDEX),)
	@$(BIN)/uv pip sync -q --python $(PEERS)/bin/python --require-hashes $<
else
	@$(BIN)/uv pip install -q --python $(PEERS)/bin/python --no-verify-hashes --index-strategy unsafe-best-match \
		--index '$(TORCH_INDEX)' -r $<
endif
	@touch $@

bench-peers: install model.pth $(PEERS)/.installed ## Measure beside what one would pick instead; writes docs/performance.md
	@$(BIN)/python -m benchmarks.peers --record $(ARGS)

bench-kills: install $(PEERS)/.installed ## Kill gateways, workers and brokers, Velox's and others' (10 minutes; ARGS=--quick: 3)
	@$(BIN)/python -m benchmarks.peers.kills $(ARGS)

bench-accepts: install $(PEERS)/.installed ## Measure what gateways accept, Velox's and one of aiokafka (4 minutes; ARGS=--quick: 1)
	@$(BIN)/python -m benchmarks.peers.accepts $(ARGS)

bench-texts: install $(PEERS)/.installed ## Measure texts a second, beside FastAPI, LitServe and mosec (10 minutes; ARGS=--quick: 6)
	@$(BIN)/python -m benchmarks.peers.texts $(ARGS)

bench-objects: install $(PEERS)/.installed ## Measure downloads from S3, alone and to rows, beside boto3 (6 minutes; ARGS=--quick: 2)
	@$(BIN)/python -m benchmarks.peers.objects $(ARGS)

bench-cameras: install ## Read 150 cameras, 100 of them by RTSP, and predict their frames (3 minutes)
	@$(BIN)/python -m benchmarks.cameras $(ARGS)

bench-cluster: install ray ## Measure a frame on Ray, one by one and in lists, beside own processes (3 minutes)
	@$(BIN)/python -m benchmarks.cluster $(ARGS)

picture: install ## Run the pipeline for 20 s and draw its view into docs/velox-up.svg
	@$(BIN)/velox up --for 20s --record docs/velox-up.svg $(ARGS)

clean: ## Remove the environment and every cache in this folder
	@rm -rf .venv .venv-peers .venv-ray .venv-browser build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
