# The index on one machine: make serve. The tests: make test. Python 3.11 or newer is all that both need.
PYTHON ?= python3
# Not ?=, since shells and conda have a HOST of their own in the environment.
HOST = 127.0.0.1
PORT = 8080
DATA = data
# Tests wait more than they compute.
PROCESSES = 4
# Most of what they wait for is fsync, which memory does without. A container has 64 MB of it there, or none.
IN_MEMORY = $(shell df -Pk /dev/shm 2>/dev/null | awk '$$6 == "/dev/shm" && $$4 > 2000000 {print "TMPDIR=" $$6}')

BIN := $(CURDIR)/.venv/bin
export PATH := $(BIN):$(PATH)
# Tests start Python hundreds of times, and each worker of pytest reads all tests.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: serve check test soak test-aws lint demo conformance package bench bench-scale bench-servers bench-upstream bench-cold-start bench-aws-scale bench-reindex bench-connections cost clean

serve: .venv/serve
	@exec $(BIN)/elasticpypi serve --host $(HOST) --port $(PORT) --data $(DATA)

# Whether the code is in order, in less than a minute: all but what needs an AWS, a browser, real clients, a server or seconds.
check: lint
	$(IN_MEMORY) $(BIN)/python -m pytest -n 3 -q -o tmp_path_retention_policy=failed --ignore tests/aws --ignore tests/clients -m "not (aws or moto or browser or clients or network or slow or soak)" $(ARGS)

# Everything; one test with ARGS="-n 0 tests/accounts/test_passwords.py -k token".
test: .venv/test
	$(BIN)/python -m pytest -n $(PROCESSES) $(ARGS)

# What takes long: properties with all their examples, files of gigabytes, 100,000 files, hundreds of stops.
soak: .venv/test
	SOAK=1 $(BIN)/python -m pytest -n 2 -m "soak or sampled" $(ARGS)

# What needs an AWS on this machine: the deployment, the roles, the contracts on DynamoDB Local and SeaweedFS.
test-aws: .venv/test
	$(BIN)/python -m pytest -m aws $(ARGS)

lint: .venv/test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Real packages from PyPI through both families, with real clients.
demo: .venv/test
	$(BIN)/python -m demo.demo

# CONFORMANCE.md, from what comes of every test that is marked with a requirement.
conformance: .venv/test
	$(BIN)/python -m tests.support.conformance -q $(ARGS)

# Beside other indexes, as it grows, and the web servers beneath: bench/RESULTS.md. ARGS="--help" for less than everything.
bench: .venv/test
	$(BIN)/python -m bench peers $(ARGS)

bench-scale: .venv/test
	$(BIN)/python -m bench scale $(ARGS)

bench-servers: .venv/test
	$(BIN)/python -m bench servers $(ARGS)

# In front of another index, beside others that are: about 25 minutes, and 4 GB of disk.
bench-upstream: .venv/test
	$(BIN)/python -m bench upstream $(ARGS)

# What would be deployed to AWS, in build/aws; needs Node.js and ELASTICPYPI_BUCKET and _PASSWORD, no credentials.
package: node_modules .venv/test
	npx --no-install osls package --package build/aws
	cfn-lint --ignore-checks W3005 -- build/aws/cloudformation-template-update-stack.json
	$(BIN)/python -m tests.support.scan build/aws/cloudformation-template-update-stack.json

# How long a rebuild of the index takes, of 100,000 files unless ARGS says otherwise.
bench-reindex: .venv/test
	$(BIN)/python -m bench.reindex $(ARGS)

# What many slow or idle connections do to everybody else: nine minutes, and Linux.
bench-connections: .venv/test
	$(BIN)/python -m bench.connections $(ARGS)

# What a cold start costs: CPU time and memory of the real zip in the real runtime. Needs Node.js and Python 3.13.
bench-cold-start: node_modules .venv/test
	$(BIN)/python -m bench.cold_start $(ARGS)

# The same with 100,000 projects and 1,000,000 files in the table, on DynamoDB Local; needs a JDK too.
bench-aws-scale: node_modules .venv/test
	$(BIN)/python -m bench.aws_scale $(ARGS)

# What AWS takes a month, as in RATIONALE.md.
cost:
	@$(PYTHON) bench/cost.py

node_modules: package.json package-lock.json
	npm ci --ignore-scripts --no-audit --no-fund
	@touch $@

.venv/python:
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed: make PYTHON=python3.13" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv .venv
	@touch $@

.venv/serve: .venv/python pyproject.toml requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint requirements.txt --editable .
	@touch $@

.venv/test: .venv/serve test-requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement test-requirements.txt
	@touch $@

clean:
	rm -rf .venv .cache build node_modules .serverless
